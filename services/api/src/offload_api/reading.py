"""Reads a job for a request, after waiting for it where the client prefers so."""

import asyncio
import math
from collections.abc import Callable
from http import HTTPStatus

import msgspec
from litestar import Response

from offload_api.access import Caller
from offload_api.bodies import AnyRequest
from offload_api.headers import preferred_wait_seconds
from offload_api.problems import Problem, not_found
from offload_api.services import Services
from offload_api.views import job_view
from offload_shared.ids import is_id
from offload_shared.job import Job, JobState
from offload_shared.store import deletion, jobs

JSON = "application/json"
LONGEST_RETRY_SECONDS = 60


def require_id(value: str, what: str) -> str:
    """Return an id that can be one of ours; raises `Problem` 404."""
    if not is_id(value):
        raise not_found(what)
    return value


async def find_job(services: Services, caller: Caller, job_id: str) -> Job:
    """Return a job of the caller's as it stands; raises `Problem` 404 or 410."""
    job = await services.store.run(jobs.get, require_id(job_id, "job"), tenant=caller.tenant)
    if job is None:
        raise await missing_job(services, caller, job_id)
    return job


async def missing_job(services: Services, caller: Caller, job_id: str) -> Problem:
    """Return the answer to the id of a job that the caller has not: 410 when it was there, and is expired, else 404."""
    if not await services.store.run(deletion.has_expired, job_id, tenant=caller.tenant):
        return not_found("job")
    detail = "The job was kept for as long as its result_ttl_seconds said, and is there no more."
    return Problem(HTTPStatus.GONE, "expired", "The job has expired", detail)


async def await_job(
    services: Services, request: AnyRequest, job_id: str, *, settled: Callable[[Job, Job], bool]
) -> Job:
    """Return a job once `settled(first, now)` says so, or the time the client prefers to wait is over.

    `first` is the job as it stood when the request came. Raises `Problem` 404.
    """
    first = job = await find_job(services, request.auth, job_id)
    clock = asyncio.get_running_loop().time
    end = clock() + preferred_wait_seconds(request.headers)
    while not settled(first, job) and (left := end - clock()) > 0:
        if not await services.watch.changed(job_id, job.version, seconds=left, receive=request.receive):
            break
        job = await find_job(services, request.auth, job_id)
    return job


def not_finished() -> Problem:
    """Return the answer to what can be done only with a job that has ended."""
    detail = "The job has not ended yet; cancel it, or wait for its end."
    return Problem(HTTPStatus.CONFLICT, "job-not-finished", "The job has not finished", detail)


def etag(job: Job) -> str:
    """Return the entity tag of a job: its version, and its state where that changes by time alone."""
    return f'"{job.version}-{job.shown_state}"'


def job_headers(job: Job, *, waited_seconds: int = 0) -> dict[str, str]:
    """Return the headers that go with any sight of a job; a wait that was granted is told of."""
    headers = {"ETag": etag(job), **wait_headers(waited_seconds)}
    if not job.state.final:
        headers["Retry-After"] = str(retry_seconds(job))
    return headers


def wait_headers(waited_seconds: int) -> dict[str, str]:
    """Return the headers of an answer that may have been waited for."""
    headers = {"Cache-Control": "private, no-cache", "Vary": "Prefer"}
    if waited_seconds:
        headers["Preference-Applied"] = f"wait={waited_seconds}"
    return headers


def shown(job: Job, status: HTTPStatus, headers: dict[str, str]) -> Response[bytes]:
    """Return the answer that shows a job."""
    return Response(msgspec.json.encode(job_view(job)), status_code=status, media_type=JSON, headers=headers)


def retry_seconds(job: Job) -> int:
    """Return when it makes sense to ask again: soon, or when a scheduled job is to start."""
    ahead = (job.run_at - job.now).total_seconds() if job.state is JobState.QUEUED else 0
    return min(max(1, math.ceil(round(ahead, 1))), LONGEST_RETRY_SECONDS)
