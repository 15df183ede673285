"""Jobs: submit, look at, fetch the result of, cancel."""

from http import HTTPStatus

import msgspec
from litestar import Response, Router, post, route
from litestar.di import NamedDependency
from litestar.params import FromPath

from offload_api.bodies import AnyRequest, read_json
from offload_api.headers import idempotency_key, matches, preferred_wait_seconds
from offload_api.problems import Problem, not_found
from offload_api.reading import await_job, etag, find_job, job_headers, require_id, retry_seconds
from offload_api.services import Services
from offload_api.views import job_path, job_view
from offload_shared import failpoints
from offload_shared.failpoints import Point
from offload_shared.job import Hint, Job, JobState, NewJob, error_body
from offload_shared.store import jobs
from offload_shared.store.jobs import Added, CancelAnswer

JSON = "application/json"


@post("/", status_code=HTTPStatus.ACCEPTED)
async def submit(request: AnyRequest, services: NamedDependency[Services]) -> Response[bytes]:
    """Store a job and answer 202 once it is committed, never before."""
    body = await read_json(request, limit_bytes=services.settings.max_body_bytes)
    new = services.submissions.decode(body, idempotency_key(request.headers))
    added = await services.additions.submit(new)
    if added.conflict:
        raise _reused_key()
    if added.replayed:
        job = await find_job(services, added.id)
    else:
        job = _job_as_added(new, added)
        _hint(services, new)
    headers = job_headers(job) | {"Location": job_path(job.id), "Retry-After": str(retry_seconds(job))}
    if added.replayed:
        headers["Idempotency-Replayed"] = "true"
    failpoints.reached(Point.ACCEPTED)
    return _shown(job, HTTPStatus.ACCEPTED, headers)


def _hint(services: Services, new: NewJob) -> None:
    # A job for later is left to the relay, and so is every hint that gets lost on the way.
    if services.publisher is not None and not new.delay_seconds and new.run_at is None:
        services.publisher.publish([Hint(new.id, new.queue, new.priority)])


@route("/{job_id:str}", http_method=["GET", "HEAD"])
async def show(
    request: AnyRequest, services: NamedDependency[Services], job_id: FromPath[str]
) -> Response[bytes] | Response[None]:
    """Answer with a job; with `Prefer: wait`, as soon as it is other than the client knows it."""

    def settled(first: Job, job: Job) -> bool:
        told = "if-none-match" in request.headers
        known = matches(request.headers, etag(job)) if told else etag(job) == etag(first)
        return job.state.final or not known

    job = await await_job(services, request, job_id, settled=settled)
    headers = job_headers(job, waited_seconds=preferred_wait_seconds(request.headers))
    if matches(request.headers, etag(job)):
        return Response(None, status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return _shown(job, HTTPStatus.OK, headers)


@route("/{job_id:str}/result", http_method=["GET", "HEAD"])
async def result(
    request: AnyRequest, services: NamedDependency[Services], job_id: FromPath[str]
) -> Response[bytes] | Response[None]:
    """Answer with the JSON that a job's handler returned, as it was stored."""
    job = await await_job(services, request, job_id, settled=lambda _, job: job.state.final)
    headers = job_headers(job, waited_seconds=preferred_wait_seconds(request.headers))
    if job.state is not JobState.SUCCEEDED:
        raise _no_result(job, headers)
    if matches(request.headers, etag(job)):
        return Response(None, status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    stored = await services.store.run(jobs.result, job_id)
    if stored is None:
        raise not_found("job")
    return Response(stored, media_type=JSON, headers=headers)


@post("/{job_id:str}/cancel", status_code=HTTPStatus.OK)
async def cancel(services: NamedDependency[Services], job_id: FromPath[str]) -> Response[bytes]:
    """Cancel a queued job at once, or ask for the end of a running one."""
    answer = await services.store.run(jobs.cancel, require_id(job_id, "job"))
    if answer is CancelAnswer.NOT_FOUND:
        raise not_found("job")
    job = await find_job(services, job_id)
    headers = job_headers(job)
    if answer is CancelAnswer.FINISHED:
        detail = f"The job has {job.state.value} already; what has ended is not cancelled."
        raise Problem(HTTPStatus.CONFLICT, "job-finished", "The job has finished", detail)
    status = HTTPStatus.OK if answer is CancelAnswer.CANCELLED else HTTPStatus.ACCEPTED
    return _shown(job, status, headers)


def _shown(job: Job, status: HTTPStatus, headers: dict[str, str]) -> Response[bytes]:
    return Response(msgspec.json.encode(job_view(job)), status_code=status, media_type=JSON, headers=headers)


def _job_as_added(new: NewJob, added: Added) -> Job:
    # What a read would return, without the read: nothing but the two times was decided by the store.
    if added.created_at is None or added.run_at is None:
        raise TypeError("a job that was not added just now has to be read")
    later = new.delay_seconds > 0 or new.run_at is not None
    return Job(
        id=new.id,
        task=new.task,
        queue=new.queue,
        state=JobState.QUEUED,
        version=1,
        priority=new.priority,
        attempt=0,
        max_attempts=new.max_attempts,
        timeout_seconds=new.timeout_seconds,
        memory_limit_mb=new.memory_limit_mb,
        cpu_limit_seconds=new.cpu_limit_seconds,
        created_at=added.created_at,
        run_at=added.run_at,
        now=added.created_at if later else added.run_at,
        deadline_at=new.deadline_at,
        started_at=None,
        finished_at=None,
        cancel_requested=False,
        worker=None,
        progress=None,
        failure=None,
        detail=None,
        attempts=[],
        artifacts=[],
    )


def _reused_key() -> Problem:
    detail = "This Idempotency-Key belongs to another body; a new job needs a new key."
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "idempotency-key-reused", "The key is used already", detail)


def _no_result(job: Job, headers: dict[str, str]) -> Problem:
    if job.state is JobState.FAILED and job.failure is not None:
        error = error_body(job.failure, job.detail or "")
        kind = error["type"].removeprefix("/problems/")
        return Problem(HTTPStatus.CONFLICT, kind, error["title"], error["detail"], headers=headers)
    if job.state is JobState.CANCELLED:
        detail = "The job was cancelled and has no result."
        return Problem(HTTPStatus.CONFLICT, "job-cancelled", "The job was cancelled", detail, headers=headers)
    detail = f"The job is {job.shown_state}; its result is not there yet."
    return Problem(HTTPStatus.NOT_FOUND, "result-not-ready", "No result yet", detail, headers=headers)


router = Router("/v1/jobs", route_handlers=[submit, show, result, cancel])
