"""A job's changes as server-sent events, from any API process and from any point on."""

import asyncio
import logging
from collections.abc import AsyncIterator
from http import HTTPStatus

import msgspec
from litestar import Response, Router, get
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Stream

from offload_api.access import authorization, needs
from offload_api.bodies import AnyRequest
from offload_api.problems import Problem
from offload_api.reading import etag, find_job
from offload_api.services import Services
from offload_api.views import job_view
from offload_shared.errors import IssuerUnavailable, StoreUnavailable
from offload_shared.job import Job
from offload_shared.keys import Scope

#: A comment is sent after so long without news: what lies between may close what says nothing.
PING_SECONDS = 15.0
#: While the store is away, and when too many wait already.
PAUSE_SECONDS = 1.0
#: After which a browser connects again.
RETRY_MILLISECONDS = 1000

PING = b": still here\n\n"
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

_log = logging.getLogger(__name__)


@get("/v1/jobs/{job_id:str}/events", opt=needs(Scope.READ))
async def stream(
    request: AnyRequest, services: NamedDependency[Services], job_id: FromPath[str]
) -> Stream | Response[None]:
    """Answer with each change of a job that the client does not know of, up to its end."""
    job = await find_job(services, request.auth, job_id)
    known = request.headers.get("last-event-id", "").strip()
    if job.state.final and _id(job) == known:
        return Response(None, status_code=HTTPStatus.NO_CONTENT)  # which tells a browser to come no more
    client = request.client.host if request.client else ""
    services.streams.require_place(client)
    return Stream(_events(services, request, job, known, client), media_type="text/event-stream", headers=HEADERS)


async def _events(services: Services, request: AnyRequest, job: Job, known: str, client: str) -> AsyncIterator[bytes]:
    with services.streams.place(client):
        yield f"retry: {RETRY_MILLISECONDS}\n\n".encode()
        while not services.watch.closed:
            if _id(job) != known:
                known = _id(job)
                yield _event(job)
                if job.state.final:
                    return
            later = await _next(services, request, job)
            if later is None:
                return
            job = later
            if _id(job) == known:
                yield PING


async def _next(services: Services, request: AnyRequest, job: Job) -> Job | None:
    clock = asyncio.get_running_loop().time
    ends = clock() + PING_SECONDS
    changed = await services.watch.changed(job.id, job.version, seconds=PING_SECONDS, receive=request.receive)
    if not changed and not services.watch.closed:
        await asyncio.sleep(min(PAUSE_SECONDS, max(0.0, ends - clock())))
    try:
        await services.identify(authorization(request.scope))
        return await find_job(services, request.auth, job.id)
    except (Problem, IssuerUnavailable):  # it was deleted, or the key was revoked, or nothing is known of the token
        return None
    except StoreUnavailable as error:
        _log.debug("an event stream goes on: %s", error)
        await asyncio.sleep(PAUSE_SECONDS)
        return job


def _id(job: Job) -> str:
    return etag(job).strip('"')


def _event(job: Job) -> bytes:
    return b"id: %s\nevent: job\ndata: %s\n\n" % (_id(job).encode(), msgspec.json.encode(job_view(job)))


router = Router("/", route_handlers=[stream])
