"""Flows: submit, look at, cancel."""

import asyncio
from collections.abc import Sequence
from http import HTTPStatus

import msgspec
from litestar import Response, Router, post, route
from litestar.di import NamedDependency
from litestar.params import FromPath

from offload_api.access import needs
from offload_api.added import announce, job_as_added, require_added
from offload_api.bodies import AnyRequest, held_json
from offload_api.flow_views import flow_state, flow_view
from offload_api.headers import idempotency_key, matches, preferred_wait_seconds
from offload_api.problems import Problem, never_fits, not_found
from offload_api.reading import JSON, find_job, require_id, wait_headers
from offload_api.routes.options import with_options
from offload_api.services import Services
from offload_api.views import flow_path
from offload_shared.errors import StoreUnavailable
from offload_shared.job import NewJob
from offload_shared.keys import Scope
from offload_shared.store import cancelling, flows
from offload_shared.store.cancelling import CancelAnswer
from offload_shared.store.flows import FlowJob
from offload_shared.store.jobs import Added

RETRY_SECONDS = 1


@post("/", status_code=HTTPStatus.ACCEPTED, opt=needs(Scope.SUBMIT))
async def submit_flow(request: AnyRequest, services: NamedDependency[Services]) -> Response[bytes]:
    """Store all jobs of a flow in one transaction and answer 202 once it is committed; or store none."""
    tenant, most = request.auth.tenant, services.settings.max_queued
    async with held_json(request, services.bodies, limit_bytes=services.settings.max_batch_bytes) as body:
        key = idempotency_key(request.headers)
        new = await services.bodies.look_into(body, services.flows.decode, key, tenant)
        added = await services.additions.alone(tenant, lambda: services.store.run(flows.add, new, max_queued=most))
    if added[0].refused and len(new) > most:
        raise never_fits(len(new), most)
    require_added(services, added[0])
    for each in new:
        services.metrics.submitted(each.task, replayed=added[0].replayed)
    if added[0].replayed:
        job = await find_job(services, request.auth, added[0].id)
        if job.flow_id is None:
            raise StoreUnavailable("the flow of this key was removed just now")
        found = await services.store.run(flows.get_flow, job.flow_id, tenant=tenant)
        return _accepted(found, {"Idempotency-Replayed": "true"})
    announce(services, new)
    return _accepted(_as_added(new, added), {})


def _accepted(found: Sequence[FlowJob], headers: dict[str, str]) -> Response[bytes]:
    location = {"Location": flow_path(found[0].job.flow_id or "")}
    return _shown(found, HTTPStatus.ACCEPTED, location | headers)


def _as_added(new: Sequence[NewJob], added: Sequence[Added]) -> list[FlowJob]:
    answers = {each.id: each for each in added}
    steps = {each.id: each.step for each in new if each.step}
    return [
        FlowJob(
            job_as_added(each, answers[each.id]),
            [steps[job_id].name for job_id in steps[each.id].after],
            steps[each.id].if_failed,
        )
        for each in new
    ]


@route("/{flow_id:str}", http_method=["GET", "HEAD"], opt=needs(Scope.READ))
async def show_flow(
    request: AnyRequest, services: NamedDependency[Services], flow_id: FromPath[str]
) -> Response[bytes] | Response[None]:
    """Answer with a flow; with `Prefer: wait`, once all its jobs have ended."""
    found = await _find(services, request, flow_id)
    clock = asyncio.get_running_loop().time
    seconds = preferred_wait_seconds(request.headers)
    end = clock() + seconds
    while flow_state(found) == "running" and (left := end - clock()) > 0:
        open_job = next(each.job for each in found if not each.job.state.final)
        if not await services.watch.changed(open_job.id, open_job.version, seconds=left, receive=request.receive):
            break
        found = await _find(services, request, flow_id)
    if matches(request.headers, _etag(found)):
        return Response(None, status_code=HTTPStatus.NOT_MODIFIED, headers=_headers(found, seconds))
    return _shown(found, HTTPStatus.OK, {}, waited_seconds=seconds)


@post("/{flow_id:str}/cancel", status_code=HTTPStatus.OK, opt=needs(Scope.CANCEL))
async def cancel_flow(
    request: AnyRequest, services: NamedDependency[Services], flow_id: FromPath[str]
) -> Response[bytes]:
    """Cancel every job of a flow that has not ended: at once, or by its worker."""
    verb = cancelling.cancel_flow
    answer = await services.store.run(verb, require_id(flow_id, "flow"), tenant=request.auth.tenant)
    if answer is CancelAnswer.NOT_FOUND:
        raise not_found("flow")
    if answer is CancelAnswer.FINISHED:
        detail = "Every job of the flow has ended; what has ended is not cancelled."
        raise Problem(HTTPStatus.CONFLICT, "flow-finished", "The flow has finished", detail)
    status = HTTPStatus.OK if answer is CancelAnswer.CANCELLED else HTTPStatus.ACCEPTED
    return _shown(await _find(services, request, flow_id), status, {})


async def _find(services: Services, request: AnyRequest, flow_id: str) -> list[FlowJob]:
    found = await services.store.run(flows.get_flow, require_id(flow_id, "flow"), tenant=request.auth.tenant)
    if not found:
        raise not_found("flow")
    return found


def _shown(
    found: Sequence[FlowJob], status: HTTPStatus, headers: dict[str, str], *, waited_seconds: int = 0
) -> Response[bytes]:
    body = msgspec.json.encode(flow_view(found))
    return Response(body, status_code=status, media_type=JSON, headers=_headers(found, waited_seconds) | headers)


def _headers(found: Sequence[FlowJob], waited_seconds: int) -> dict[str, str]:
    headers = {"ETag": _etag(found), **wait_headers(waited_seconds)}
    return headers if flow_state(found) != "running" else headers | {"Retry-After": str(RETRY_SECONDS)}


def _etag(found: Sequence[FlowJob]) -> str:
    # Versions only grow, and what is deleted is not counted any more.
    return f'"{len(found)}-{sum(each.job.version for each in found)}"'


router = Router("/v1/flows", route_handlers=with_options(submit_flow, show_flow, cancel_flow))
