"""Jobs: list, look at, fetch the result of, cancel."""

from http import HTTPStatus

import msgspec
from litestar import Response, Router, delete, post, route
from litestar.di import NamedDependency
from litestar.params import FromPath

from offload_api import paging
from offload_api.access import needs
from offload_api.bodies import AnyRequest
from offload_api.headers import matches, preferred_wait_seconds
from offload_api.problems import Problem
from offload_api.reading import (
    JSON,
    await_job,
    etag,
    find_job,
    job_headers,
    missing_job,
    not_finished,
    require_id,
    shown,
)
from offload_api.routes.options import with_options
from offload_api.routes.submitting import retry, submit
from offload_api.services import Services
from offload_api.views import JobList, job_summary
from offload_shared.errors import StoreUnavailable
from offload_shared.job import Job, JobState, error_body
from offload_shared.keys import Scope
from offload_shared.store import cancelling, deletion, jobs, listing
from offload_shared.store.cancelling import CancelAnswer
from offload_shared.store.deletion import DeleteAnswer


@route("/", http_method=["GET", "HEAD"], opt=needs(Scope.READ))
async def index(request: AnyRequest, services: NamedDependency[Services]) -> Response[bytes]:
    """Answer with a page of jobs, the newest first."""
    query = paging.read_jobs(request)
    found = await services.store.scan(listing.page, query.wanted, size=query.size + 1, older_than=query.older_than)
    page, more = found[: query.size], len(found) > query.size
    token = paging.token(query.wanted, page[-1].id) if more else None
    headers = paging.page_headers(request, token)
    body = JobList(jobs=[job_summary(job) for job in page], next_page_token=token)
    return Response(msgspec.json.encode(body), media_type=JSON, headers=headers)


@route("/{job_id:str}", http_method=["GET", "HEAD"], opt=needs(Scope.READ))
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
    return shown(job, HTTPStatus.OK, headers)


@route("/{job_id:str}/result", http_method=["GET", "HEAD"], opt=needs(Scope.READ))
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
    stored = await services.store.run(jobs.result, job_id, tenant=request.auth.tenant)
    if stored is None:
        raise await missing_job(services, request.auth, job_id)
    return Response(stored, media_type=JSON, headers=headers)


@post("/{job_id:str}/cancel", status_code=HTTPStatus.OK, opt=needs(Scope.CANCEL))
async def cancel(request: AnyRequest, services: NamedDependency[Services], job_id: FromPath[str]) -> Response[bytes]:
    """Cancel a queued job at once, or ask for the end of a running one."""
    answer = await services.store.run(cancelling.cancel, require_id(job_id, "job"), tenant=request.auth.tenant)
    if answer is CancelAnswer.NOT_FOUND:
        raise await missing_job(services, request.auth, job_id)
    job = await find_job(services, request.auth, job_id)
    headers = job_headers(job)
    if answer is CancelAnswer.FINISHED:
        detail = f"The job has {job.state.value} already; what has ended is not cancelled."
        raise Problem(HTTPStatus.CONFLICT, "job-finished", "The job has finished", detail)
    status = HTTPStatus.OK if answer is CancelAnswer.CANCELLED else HTTPStatus.ACCEPTED
    return shown(job, status, headers)


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


@delete("/{job_id:str}", status_code=HTTPStatus.NO_CONTENT, opt=needs(Scope.CANCEL))
async def remove(request: AnyRequest, services: NamedDependency[Services], job_id: FromPath[str]) -> None:
    """Remove a job that has ended; its files go soon after it."""
    tenant = request.auth.tenant
    answer = await services.store.run(deletion.delete_job, require_id(job_id, "job"), tenant=tenant)
    if answer is DeleteAnswer.NOT_TOLD:
        await services.deliverer.make(job_id, tenant)
        answer = await services.store.run(deletion.delete_job, job_id, tenant=tenant)
    if answer is DeleteAnswer.NOT_TOLD:
        raise StoreUnavailable("what is to be told of a job could not be made")
    if answer is DeleteAnswer.NOT_FOUND:
        raise await missing_job(services, request.auth, job_id)
    if answer is DeleteAnswer.NOT_FINAL:
        raise not_finished()
    if answer is DeleteAnswer.NEEDED:
        detail = "A job of its flow waits that follows it; delete this one once that has begun, or is cancelled."
        raise Problem(HTTPStatus.CONFLICT, "job-needed", "The job is still needed", detail)


router = Router("/v1/jobs", route_handlers=with_options(submit, retry, index, show, result, cancel, remove))
