"""Schedules: add, list, look at, change, remove."""

from functools import partial
from http import HTTPStatus

import msgspec
from litestar import Response, Router, delete, patch, post, route
from litestar.di import NamedDependency
from litestar.params import FromPath

from offload_api import paging
from offload_api.access import needs
from offload_api.added import reused_key
from offload_api.bodies import MERGE_PATCH_TYPES, AnyRequest, held_json
from offload_api.headers import idempotency_key, matches
from offload_api.problems import Problem, not_found
from offload_api.reading import JSON, require_id
from offload_api.routes.options import with_options
from offload_api.schedule_views import ScheduleList, schedule_view
from offload_api.schedules import first_time
from offload_api.services import Services
from offload_api.views import schedule_path
from offload_shared.keys import Scope
from offload_shared.schedule import Schedule
from offload_shared.store import schedules as store


@post("/", status_code=HTTPStatus.CREATED, opt=needs(Scope.SUBMIT))
async def add(request: AnyRequest, services: NamedDependency[Services]) -> Response[bytes]:
    """Store a schedule and answer 201 once it is committed."""
    most = services.settings.max_schedules
    async with held_json(request, services.bodies, limit_bytes=services.settings.max_body_bytes) as body:
        key = idempotency_key(request.headers)
        new = await services.bodies.look_into(body, services.schedules.decode, key, request.auth.tenant)
        first = partial(first_time, new.plan)
        added = await services.store.run(store.add_schedule, new, first_run_at=first, most=most)
    if added is None:
        detail = f"There are {most} schedules, as many as are kept for you; remove one that is not needed."
        raise Problem(HTTPStatus.CONFLICT, "too-many-schedules", "Too many schedules", detail)
    if added.conflict:
        raise reused_key()
    headers = {"Location": schedule_path(added.schedule.id)}
    if added.replayed:
        headers["Idempotency-Replayed"] = "true"
    return _shown(added.schedule, HTTPStatus.CREATED, headers)


@route("/", http_method=["GET", "HEAD"], opt=needs(Scope.READ))
async def index(request: AnyRequest, services: NamedDependency[Services]) -> Response[bytes]:
    """Answer with a page of schedules, the newest first."""
    query = paging.read_schedules(request)
    found = await services.store.scan(store.page, query.wanted, size=query.size + 1, older_than=query.older_than)
    page, more = found[: query.size], len(found) > query.size
    token = paging.token(query.wanted, page[-1].id) if more else None
    body = ScheduleList(schedules=[schedule_view(each) for each in page], next_page_token=token)
    return Response(msgspec.json.encode(body), media_type=JSON, headers=paging.page_headers(request, token))


@route("/{schedule_id:str}", http_method=["GET", "HEAD"], opt=needs(Scope.READ))
async def show(
    request: AnyRequest, services: NamedDependency[Services], schedule_id: FromPath[str]
) -> Response[bytes] | Response[None]:
    """Answer with a schedule."""
    verb = store.get_schedule
    schedule = await services.store.run(verb, require_id(schedule_id, "schedule"), tenant=request.auth.tenant)
    if schedule is None:
        raise not_found("schedule")
    if matches(request.headers, _etag(schedule)):
        return Response(None, status_code=HTTPStatus.NOT_MODIFIED, headers=_headers(schedule))
    return _shown(schedule, HTTPStatus.OK)


@patch("/{schedule_id:str}", opt=needs(Scope.SUBMIT))
async def change(
    request: AnyRequest, services: NamedDependency[Services], schedule_id: FromPath[str]
) -> Response[bytes]:
    """Change a schedule by a JSON merge patch (RFC 7396); what comes of it must be a sound schedule as a whole."""
    limit_bytes = services.settings.max_body_bytes
    tenant = request.auth.tenant
    async with held_json(request, services.bodies, limit_bytes=limit_bytes, media_types=MERGE_PATCH_TYPES) as body:
        changed = await services.bodies.look_into(body, services.schedules.change)
        verb = store.change_schedule
        schedule = await services.store.run(verb, require_id(schedule_id, "schedule"), changed=changed, tenant=tenant)
    if schedule is None:
        raise not_found("schedule")
    return _shown(schedule, HTTPStatus.OK)


@delete("/{schedule_id:str}", status_code=HTTPStatus.NO_CONTENT, opt=needs(Scope.CANCEL))
async def remove(request: AnyRequest, services: NamedDependency[Services], schedule_id: FromPath[str]) -> None:
    """Remove a schedule; its jobs stay."""
    schedule = require_id(schedule_id, "schedule")
    if not await services.store.run(store.delete_schedule, schedule, tenant=request.auth.tenant):
        raise not_found("schedule")


def _shown(schedule: Schedule, status: HTTPStatus, headers: dict[str, str] | None = None) -> Response[bytes]:
    body = msgspec.json.encode(schedule_view(schedule))
    return Response(body, status_code=status, media_type=JSON, headers=_headers(schedule) | (headers or {}))


def _headers(schedule: Schedule) -> dict[str, str]:
    return {"ETag": _etag(schedule), "Cache-Control": "private, no-cache"}


def _etag(schedule: Schedule) -> str:
    return f'"{schedule.version}"'


router = Router("/v1/schedules", route_handlers=with_options(add, index, show, change, remove))
