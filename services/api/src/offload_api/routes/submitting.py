"""Every way to make a job: submit one, submit many together, run one again."""

from collections.abc import Callable
from http import HTTPStatus
from typing import TypeVar

import msgspec
from litestar import Response, Router, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from offload_api.access import Caller, needs
from offload_api.added import announce, job_as_added, require_added
from offload_api.bodies import AnyRequest, held_json
from offload_api.headers import idempotency_key
from offload_api.held import SMALL_BYTES
from offload_api.problems import Problem, never_fits
from offload_api.reading import (
    JSON,
    find_job,
    job_headers,
    missing_job,
    not_finished,
    require_id,
    retry_seconds,
    shown,
)
from offload_api.services import Services
from offload_api.trail import note_made
from offload_api.views import JobBatch, job_path, job_summary
from offload_shared import failpoints
from offload_shared.errors import StoreUnavailable
from offload_shared.failpoints import Point
from offload_shared.ids import new_id
from offload_shared.job import NewJob
from offload_shared.keys import Scope
from offload_shared.store import jobs, listing, retries
from offload_shared.store.jobs import Added
from offload_shared.store.retries import RetryRefusal

T = TypeVar("T")


@post("/", status_code=HTTPStatus.ACCEPTED, opt=needs(Scope.SUBMIT))
async def submit(request: AnyRequest, services: NamedDependency[Services]) -> Response[bytes]:
    """Store a job and answer 202 once it is committed, never before."""
    async with held_json(request, services.bodies, limit_bytes=services.settings.max_body_bytes) as body:
        new = await _decoded(services, services.submissions.decode, body, request)
        added = await services.additions.submit(new)
    return await _accepted(services, request.auth, new, added)


@post("/{job_id:str}/retry", status_code=HTTPStatus.ACCEPTED, opt=needs(Scope.SUBMIT))
async def retry(request: AnyRequest, services: NamedDependency[Services], job_id: FromPath[str]) -> Response[bytes]:
    """Store a job with the payload and options of one that has ended."""
    key = idempotency_key(request.headers)
    parent = require_id(job_id, "job")
    renewed = services.submissions.renewed
    retried = await services.additions.alone(
        request.auth.tenant,
        lambda: services.store.run(
            retries.retry,
            parent,
            new_id=new_id(),
            idempotency_key=key,
            renewed=renewed,
            tenant=request.auth.tenant,
            max_queued=services.settings.max_queued,
        ),
    )
    if retried is RetryRefusal.NOT_FOUND:
        raise await missing_job(services, request.auth, parent)
    if retried is RetryRefusal.NOT_FINAL:
        raise not_finished()
    if isinstance(retried, RetryRefusal):
        detail = "The job ended before all was there that it takes from others of its flow; submit the flow again."
        raise Problem(HTTPStatus.CONFLICT, "job-incomplete", "The job was never complete", detail)
    return await _accepted(services, request.auth, *retried)


@post("/v1/jobs:batch", status_code=HTTPStatus.ACCEPTED, opt=needs(Scope.SUBMIT))
async def submit_batch(request: AnyRequest, services: NamedDependency[Services]) -> Response[bytes]:
    """Store many jobs in one transaction and answer 202 once it is committed; or store none."""
    most = services.settings.max_queued
    async with held_json(request, services.bodies, limit_bytes=services.settings.max_batch_bytes) as body:
        new = await _decoded(services, services.submissions.decode_batch, body, request)
        added = await services.additions.alone(
            request.auth.tenant, lambda: services.store.run(jobs.add_all, new, max_queued=most)
        )
    if any(answer.refused for answer in added) and len(new) > most:
        raise never_fits(len(new), most)
    for answer in added:
        require_added(services, answer)
    for each, answer in zip(new, added, strict=True):
        services.metrics.submitted(each.task, replayed=answer.replayed)
    fresh = {each.id: each for each, answer in zip(new, added, strict=True) if not answer.replayed}
    announce(services, fresh.values())
    earlier = [answer.id for answer in added if answer.replayed]
    tenant = request.auth.tenant
    named = await services.store.run(listing.named, earlier, tenant=tenant) if earlier else []
    known = {job.id: job for job in named}
    if any(job_id not in known for job_id in earlier):
        raise StoreUnavailable("a job of a repeated batch was removed just now")
    made = [job_as_added(fresh[each.id], each) if each.id in fresh else known[each.id] for each in added]
    note_made(request.scope, list(fresh) or [added[0].id])
    headers = {"Idempotency-Replayed": "true"} if earlier else {}
    batch = JobBatch([job_summary(job) for job in made])
    return Response(msgspec.json.encode(batch), status_code=HTTPStatus.ACCEPTED, media_type=JSON, headers=headers)


async def _decoded(
    services: Services, decode: Callable[[bytes, str | None, str], T], body: bytes, request: AnyRequest
) -> T:
    key, tenant = idempotency_key(request.headers), request.auth.tenant
    # To look into a large body takes a while, during which the others are to be answered.
    if len(body) > SMALL_BYTES:
        return await services.bodies.look_into(body, decode, key, tenant)
    return decode(body, key, tenant)


async def _accepted(services: Services, caller: Caller, new: NewJob, added: Added) -> Response[bytes]:
    require_added(services, added)
    services.metrics.submitted(new.task, replayed=added.replayed)
    if added.replayed:
        job = await find_job(services, caller, added.id)
    else:
        job = job_as_added(new, added)
        announce(services, [new])
    headers = job_headers(job) | {"Location": job_path(job.id), "Retry-After": str(retry_seconds(job))}
    if added.replayed:
        headers["Idempotency-Replayed"] = "true"
    failpoints.reached(Point.ACCEPTED)
    return shown(job, HTTPStatus.ACCEPTED, headers)


router = Router("/", route_handlers=[submit_batch])  # the others share their address with what reads jobs
