"""What an attempt prints and logs: read at any time, and followed while it runs."""

import asyncio
import logging
import re
from functools import partial

import msgspec
from litestar import Response, Router, route
from litestar.di import NamedDependency
from litestar.params import FromPath

from offload_api.access import Caller, needs
from offload_api.bodies import AnyRequest
from offload_api.downloads import NEVER_A_PAGE
from offload_api.headers import preferred_wait_seconds
from offload_api.problems import malformed, not_found
from offload_api.reading import find_job, retry_seconds, wait_headers
from offload_api.services import Services
from offload_shared.errors import StoreUnavailable
from offload_shared.job import Job, JobState, Output
from offload_shared.keys import Scope
from offload_shared.store import outputs

#: Output does not change its job's version, which `JobWatch` sees to, and workers store it about once a second.
POLL_SECONDS = 0.25
#: However many wait, they ask the store one after the other and with pauses, so that it is free for everything else.
PAUSE_SECONDS = 0.005
LARGEST = 2**63 - 1  # the store counts no further

_DIGITS = re.compile(r"[0-9]{1,19}")
_log = logging.getLogger(__name__)


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What a client asks for: of which attempt, and after how many bytes."""

    attempt: int  # 0: the latest
    after: int


class Sight(msgspec.Struct, frozen=True):
    """A job, and what is there of an attempt's output; attempt 0 is the one before the first."""

    job: Job
    attempt: int
    output: Output

    @property
    def growing(self) -> bool:
        """Whether more may come."""
        if self.attempt == 0:
            return not self.job.state.final
        return self.job.state is JobState.RUNNING and self.job.attempt == self.attempt


@route("/v1/jobs/{job_id:str}/output", http_method=["GET", "HEAD"], opt=needs(Scope.READ))
async def show(request: AnyRequest, services: NamedDependency[Services], job_id: FromPath[str]) -> Response[bytes]:
    """Answer with the bytes as they were written; with `Prefer: wait`, as soon as there are some."""
    wanted = Wanted(attempt=_count(request, "attempt"), after=_count(request, "after"))
    sight = await _await_output(services, request, job_id, wanted)
    return Response(sight.output.content, media_type="text/plain", headers=_headers(request, sight))


def _count(request: AnyRequest, name: str) -> int:
    given = request.query_params.getall(name, ["0"])
    if len(given) > 1 or not _DIGITS.fullmatch(given[0]) or int(given[0]) > LARGEST:
        raise malformed(f"`{name}` must be given once, as a whole number from 0 to {LARGEST}.")
    return int(given[0])


def _headers(request: AnyRequest, sight: Sight) -> dict[str, str]:
    headers = wait_headers(preferred_wait_seconds(request.headers)) | NEVER_A_PAGE
    headers["Offload-Attempt"] = str(sight.attempt)
    headers["Offload-Output-Start"] = str(sight.output.start)
    headers["Offload-Output-End"] = str(sight.output.end)
    if sight.growing:
        headers["Retry-After"] = str(retry_seconds(sight.job))
    return headers


async def _await_output(services: Services, request: AnyRequest, job_id: str, wanted: Wanted) -> Sight:
    clock = asyncio.get_running_loop().time
    end = clock() + preferred_wait_seconds(request.headers)
    sight = await _look(services, request.auth, job_id, wanted)
    while sight.growing and not sight.output.content and (left := end - clock()) > 0:
        # The client stays with the attempt it came to: the bytes of the next one are counted from 0 again.
        wanted = Wanted(attempt=sight.attempt, after=wanted.after)
        news = partial(_something_said, services, request.auth, job_id, wanted)
        receive = request.receive
        if not await services.watch.changed(job_id, sight.job.version, seconds=left, receive=receive, news=news):
            break
        sight = await _look(services, request.auth, job_id, wanted)
    return sight


async def _look(services: Services, caller: Caller, job_id: str, wanted: Wanted) -> Sight:
    # The job first: were it read last, it could have ended since, and its last words be missing from a final answer.
    job = await find_job(services, caller, job_id)
    attempt = wanted.attempt or job.attempt
    if attempt > job.attempt:
        raise not_found("attempt")
    output = await services.store.run(outputs.read, job_id, attempt, after=wanted.after, tenant=caller.tenant)
    return Sight(job, attempt, output)


async def _something_said(services: Services, caller: Caller, job_id: str, wanted: Wanted) -> bool:
    while True:
        await asyncio.sleep(POLL_SECONDS)
        async with services.output_turn:
            await asyncio.sleep(PAUSE_SECONDS)
            try:
                output = await services.store.run(
                    outputs.read, job_id, wanted.attempt, after=wanted.after, tenant=caller.tenant
                )
            except StoreUnavailable as error:
                _log.debug("waiting goes on: %s", error)
                continue
        if output.content:
            return True


router = Router("/", route_handlers=[show])
