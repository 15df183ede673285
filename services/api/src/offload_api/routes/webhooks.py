"""Webhooks: made, listed, changed, given other secrets, removed; what became of their deliveries, and replays."""

from http import HTTPStatus
from typing import Annotated

import msgspec
from litestar import Response, Router, delete, patch, post, route
from litestar.di import NamedDependency
from litestar.params import FromPath
from msgspec import UNSET, Meta, UnsetType

from offload_api import paging
from offload_api.access import needs
from offload_api.bodies import MERGE_PATCH_TYPES, AnyRequest, read_as
from offload_api.headers import matches
from offload_api.problems import Problem, invalid, not_found
from offload_api.reading import JSON, require_id
from offload_api.routes.keys import LIMIT_BYTES, NOT_TO_BE_KEPT, Rotation
from offload_api.routes.options import with_options
from offload_api.schedules import NAME_PATTERN
from offload_api.services import Services
from offload_api.submissions import Url, bad_url
from offload_api.webhook_views import (
    CallbackSecret,
    DeliveryList,
    WebhookList,
    delivery_view,
    made_webhook,
    webhook_path,
    webhook_view,
)
from offload_shared.keys import Scope
from offload_shared.store import deliveries
from offload_shared.store import webhooks as store
from offload_shared.store.deliveries import WantedDeliveries
from offload_shared.store.webhooks import WantedWebhooks, WebhookPlan
from offload_shared.webhook import CALLBACKS, DeliveryState, EventType, Webhook

Name = Annotated[str, Meta(pattern=NAME_PATTERN)]
Events = Annotated[list[EventType], Meta(min_length=1, max_length=len(EventType))]


class NewWebhook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The webhook to make."""

    url: Annotated[Url, Meta(description="Who is told, by a signed POST.")]
    events: Annotated[Events, Meta(description="Of what; without, of every end.")] = msgspec.field(
        default_factory=lambda: list(EventType)
    )
    name: Annotated[Name | None, Meta(description="A name of yours.")] = None


class WebhookPatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What changes of a webhook (RFC 7396)."""

    url: Url | UnsetType = UNSET
    events: Events | UnsetType = UNSET
    name: Name | UnsetType | None = UNSET
    enabled: Annotated[bool | UnsetType, Meta(description="While it is not, nothing is sent, nor kept for later.")] = (
        UNSET
    )


class DeliveryQuery(paging.Query, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters of a list of deliveries."""

    state: DeliveryState | UnsetType = UNSET
    job_id: Annotated[str, Meta(pattern=paging.ID_PATTERN)] | UnsetType = UNSET


@post("/", status_code=HTTPStatus.CREATED, opt=needs(Scope.ADMIN))
async def create(request: AnyRequest, services: NamedDependency[Services]) -> Response[bytes]:
    """Make a webhook, and answer with its secret this one time."""
    wanted = await read_as(request, NewWebhook, limit_bytes=LIMIT_BYTES)
    plan = WebhookPlan(url=wanted.url, events=_distinct(wanted.events), name=wanted.name)
    _require_url(services, plan.url)
    most = services.settings.max_webhooks
    webhook = await services.store.run(store.create, plan, tenant=request.auth.tenant, most=most)
    if webhook is None:
        detail = f"There are {most} webhooks, as many as are kept for you; remove one that is not needed."
        raise Problem(HTTPStatus.CONFLICT, "too-many-webhooks", "Too many webhooks", detail)
    return _made(webhook, HTTPStatus.CREATED, {"Location": webhook_path(webhook.id)})


def _distinct(events: list[EventType]) -> tuple[EventType, ...]:
    return tuple(each for each in EventType if each in events)


def _require_url(services: Services, url: str) -> None:
    if errors := list(bad_url(services.submissions.guard, url, "/url")):
        raise invalid(errors)


@route("/", http_method=["GET", "HEAD"], opt=needs(Scope.ADMIN))
async def index(request: AnyRequest, services: NamedDependency[Services]) -> Response[bytes]:
    """Answer with a page of webhooks, the newest first."""
    query = paging.page_of(paging.read_query(request, paging.Query), WantedWebhooks(tenant=request.auth.tenant))
    found = await services.store.run(store.page, query.wanted, size=query.size + 1, older_than=query.older_than)
    shown = found[: query.size]
    token = paging.token(query.wanted, shown[-1].id) if len(found) > query.size else None
    body = WebhookList(webhooks=[webhook_view(each) for each in shown], next_page_token=token)
    return Response(msgspec.json.encode(body), media_type=JSON, headers=paging.page_headers(request, token))


@route("/{webhook_id:str}", http_method=["GET", "HEAD"], opt=needs(Scope.ADMIN))
async def show(
    request: AnyRequest, services: NamedDependency[Services], webhook_id: FromPath[str]
) -> Response[bytes] | Response[None]:
    """Answer with a webhook, without its secret."""
    webhook = await _found(request, services, webhook_id)
    if matches(request.headers, _etag(webhook)):
        return Response(None, status_code=HTTPStatus.NOT_MODIFIED, headers=_headers(webhook))
    return _shown(webhook)


@patch("/{webhook_id:str}", opt=needs(Scope.ADMIN))
async def change(
    request: AnyRequest, services: NamedDependency[Services], webhook_id: FromPath[str]
) -> Response[bytes]:
    """Change a webhook by a JSON merge patch (RFC 7396)."""
    wanted = await read_as(request, WebhookPatch, limit_bytes=LIMIT_BYTES, media_types=MERGE_PATCH_TYPES)
    if wanted.url is not UNSET:
        _require_url(services, wanted.url)

    def changed(plan: WebhookPlan) -> WebhookPlan:
        given = {name: value for name, value in msgspec.structs.asdict(wanted).items() if value is not UNSET}
        if wanted.events is not UNSET:
            given["events"] = _distinct(wanted.events)
        return msgspec.structs.replace(plan, **given)

    webhook = await services.store.run(
        store.change, require_id(webhook_id, "webhook"), changed=changed, tenant=request.auth.tenant
    )
    if webhook is None:
        raise not_found("webhook")
    return _shown(webhook)


@delete("/{webhook_id:str}", status_code=HTTPStatus.NO_CONTENT, opt=needs(Scope.ADMIN))
async def remove(request: AnyRequest, services: NamedDependency[Services], webhook_id: FromPath[str]) -> None:
    """Remove a webhook; what is on its way to it is given up."""
    webhook = require_id(webhook_id, "webhook")
    if not await services.store.run(store.remove, webhook, tenant=request.auth.tenant):
        raise not_found("webhook")


@post("/{webhook_id:str}/rotate", status_code=HTTPStatus.OK, opt=needs(Scope.ADMIN))
async def rotate(
    request: AnyRequest, services: NamedDependency[Services], webhook_id: FromPath[str]
) -> Response[bytes]:
    """Give a webhook another secret."""
    wanted = await read_as(request, Rotation, limit_bytes=LIMIT_BYTES)
    overlap = wanted.overlap_seconds
    found = require_id(webhook_id, "webhook")
    webhook = await services.store.run(store.rotate, found, tenant=request.auth.tenant, overlap_seconds=overlap)
    if webhook is None:
        raise not_found("webhook")
    return _made(webhook, HTTPStatus.OK)


@post(f"/{CALLBACKS}/rotate", status_code=HTTPStatus.OK, opt=needs(Scope.ADMIN))
async def rotate_callbacks(request: AnyRequest, services: NamedDependency[Services]) -> Response[bytes]:
    """Give the caller's tenant another secret for its callbacks, or their first."""
    wanted = await read_as(request, Rotation, limit_bytes=LIMIT_BYTES)
    overlap = wanted.overlap_seconds
    made = await services.store.run(store.rotate_callbacks, tenant=request.auth.tenant, overlap_seconds=overlap)
    body = CallbackSecret(secret=made.secret, previous_until=made.previous_until)
    return Response(msgspec.json.encode(body), media_type=JSON, headers=NOT_TO_BE_KEPT)


@route("/{webhook_id:str}/deliveries", http_method=["GET", "HEAD"], opt=needs(Scope.ADMIN))
async def log(request: AnyRequest, services: NamedDependency[Services], webhook_id: FromPath[str]) -> Response[bytes]:
    """Answer with a page of what became of a webhook's deliveries, the newest first."""
    query = paging.read_query(request, DeliveryQuery)
    wanted = WantedDeliveries(
        webhook_id=await _named(request, services, webhook_id),
        tenant=request.auth.tenant,
        state=query.state or None,
        job_id=query.job_id or None,
    )
    page = paging.page_of(query, wanted)
    found = await services.store.scan(deliveries.page, wanted, size=page.size + 1, older_than=page.older_than)
    shown = found[: page.size]
    token = paging.token(wanted, shown[-1].id) if len(found) > page.size else None
    body = DeliveryList(deliveries=[delivery_view(each) for each in shown], next_page_token=token)
    return Response(msgspec.json.encode(body), media_type=JSON, headers=paging.page_headers(request, token))


@post(
    "/{webhook_id:str}/deliveries/{delivery_id:str}/replay",
    status_code=HTTPStatus.ACCEPTED,
    opt=needs(Scope.ADMIN),
)
async def replay(
    request: AnyRequest,
    services: NamedDependency[Services],
    webhook_id: FromPath[str],
    delivery_id: FromPath[str],
) -> Response[bytes]:
    """Let a delivery be made once more, whatever came of it before."""
    named = await _named(request, services, webhook_id, enabled=True)
    delivery = require_id(delivery_id, "delivery")
    replayed = await services.store.run(deliveries.replay, delivery, webhook_id=named, tenant=request.auth.tenant)
    if replayed is None:
        raise not_found("delivery")
    body = msgspec.json.encode(delivery_view(replayed))
    return Response(body, status_code=HTTPStatus.ACCEPTED, media_type=JSON)


async def _named(request: AnyRequest, services: Services, webhook_id: str, *, enabled: bool = False) -> str | None:
    if webhook_id == CALLBACKS:
        return None
    webhook = await _found(request, services, webhook_id)
    if enabled and webhook.disabled_at is not None:
        detail = "The webhook is disabled; enable it first."
        raise Problem(HTTPStatus.CONFLICT, "webhook-disabled", "The webhook is disabled", detail)
    return webhook_id


async def _found(request: AnyRequest, services: Services, webhook_id: str) -> Webhook:
    found = await services.store.run(store.get, require_id(webhook_id, "webhook"), tenant=request.auth.tenant)
    if found is None:
        raise not_found("webhook")
    return found


def _shown(webhook: Webhook) -> Response[bytes]:
    return Response(msgspec.json.encode(webhook_view(webhook)), media_type=JSON, headers=_headers(webhook))


def _made(webhook: Webhook, status: HTTPStatus, headers: dict[str, str] | None = None) -> Response[bytes]:
    body = msgspec.json.encode(made_webhook(webhook))
    return Response(body, status_code=status, media_type=JSON, headers=NOT_TO_BE_KEPT | (headers or {}))


def _headers(webhook: Webhook) -> dict[str, str]:
    return {"ETag": _etag(webhook), "Cache-Control": "private, no-cache"}


def _etag(webhook: Webhook) -> str:
    return f'"{webhook.version}"'


router = Router(
    "/v1/webhooks",
    route_handlers=with_options(create, index, show, change, remove, rotate_callbacks, rotate, log, replay),
)
