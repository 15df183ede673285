"""API keys: made, listed, rotated and revoked by administrators."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from litestar import Response, Router, delete, post, route
from litestar.di import NamedDependency
from litestar.params import FromPath
from msgspec import Meta

from offload_api import paging
from offload_api.access import Caller, forbidden, needs
from offload_api.bodies import AnyRequest, read_as
from offload_api.problems import not_found
from offload_api.reading import JSON, require_id
from offload_api.routes.options import with_options
from offload_api.services import Services
from offload_shared.keys import (
    LONGEST_LIFE_SECONDS,
    LONGEST_OVERLAP_SECONDS,
    OVERLAP_SECONDS,
    ApiKey,
    KeyName,
    Scope,
    Tenant,
)
from offload_shared.store import api_keys
from offload_shared.store.api_keys import WantedKeys

LIMIT_BYTES = 64 * 1024
NOT_TO_BE_KEPT = {"Cache-Control": "no-store"}


class NewKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The key to make."""

    scopes: Annotated[list[Scope], Meta(min_length=1, max_length=len(Scope), description="What it allows.")]
    tenant: Annotated[Tenant | None, Meta(description="Whose jobs it reaches; without, your own tenant's.")] = None
    name: Annotated[KeyName, Meta(description="A word of yours to know it by.")] = ""
    expires_in_seconds: Annotated[
        Annotated[float, Meta(gt=0, le=LONGEST_LIFE_SECONDS)] | None,
        Meta(description="How long it is good; without, until it is revoked."),
    ] = None


class Rotation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to rotate a key."""

    overlap_seconds: Annotated[
        float, Meta(ge=0, le=LONGEST_OVERLAP_SECONDS, description="For so long the present secret is good as well.")
    ] = OVERLAP_SECONDS


class KeyView(msgspec.Struct, frozen=True, kw_only=True):
    """A key, without its secret."""

    id: str
    tenant: str
    name: str
    scopes: list[Scope]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    previous_until: Annotated[datetime | None, Meta(description="Until then the secret before this one is good too.")]


class MadeKey(KeyView, frozen=True, kw_only=True):
    """A key with its secret, which is shown this one time."""

    key: Annotated[str, Meta(description="Send it as `Authorization: Bearer ...`.")]


class KeyList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of keys, the newest first, revoked and expired ones too; `next_page_token` is null on the last."""

    keys: list[KeyView]
    next_page_token: str | None


@post("/", status_code=HTTPStatus.CREATED, opt=needs(Scope.ADMIN))
async def create(request: AnyRequest, services: NamedDependency[Services]) -> Response[bytes]:
    """Make a key."""
    wanted = await read_as(request, NewKey, limit_bytes=LIMIT_BYTES)
    key, written = await services.store.run(
        api_keys.create,
        tenant=_tenant(request.auth, wanted),
        name=wanted.name,
        scopes=wanted.scopes,
        expires_in_seconds=wanted.expires_in_seconds,
    )
    return _made(key, written, HTTPStatus.CREATED, {"Location": f"/v1/keys/{key.id}"})


def _tenant(caller: Caller, wanted: NewKey) -> str:
    tenant = caller.tenant if wanted.tenant is None else wanted.tenant
    if caller.administered not in (None, tenant):
        detail = "A key for another tenant is made by an administrator of the default tenant."
        raise forbidden(detail, caller, scope=Scope.ADMIN)
    return tenant


@route("/", http_method=["GET", "HEAD"], opt=needs(Scope.ADMIN))
async def index(request: AnyRequest, services: NamedDependency[Services]) -> Response[bytes]:
    """Answer with a page of the keys of the caller's tenant; to an operator, of those of all tenants."""
    query = paging.read_query(request, paging.Query)
    page = paging.page_of(query, WantedKeys(tenant=request.auth.administered))
    found = await services.store.scan(api_keys.page, page.wanted, size=page.size + 1, older_than=page.older_than)
    shown = found[: page.size]
    token = paging.token(page.wanted, shown[-1].id) if len(found) > page.size else None
    body = KeyList(keys=[KeyView(**_shown(key)) for key in shown], next_page_token=token)
    headers = paging.page_headers(request, token) | NOT_TO_BE_KEPT
    return Response(msgspec.json.encode(body), media_type=JSON, headers=headers)


@post("/{key_id:str}/rotate", status_code=HTTPStatus.OK, opt=needs(Scope.ADMIN))
async def rotate(request: AnyRequest, services: NamedDependency[Services], key_id: FromPath[str]) -> Response[bytes]:
    """Give a key another secret."""
    wanted = await read_as(request, Rotation, limit_bytes=LIMIT_BYTES)
    rotated = await services.store.run(
        api_keys.rotate,
        require_id(key_id, "key"),
        tenant=request.auth.administered,
        overlap_seconds=wanted.overlap_seconds,
    )
    if rotated is None:
        raise not_found("key")
    services.keyring.forget(key_id)
    return _made(*rotated, HTTPStatus.OK)


@delete("/{key_id:str}", status_code=HTTPStatus.NO_CONTENT, opt=needs(Scope.ADMIN))
async def revoke(request: AnyRequest, services: NamedDependency[Services], key_id: FromPath[str]) -> None:
    """End a key for good."""
    known = await services.store.run(api_keys.revoke, require_id(key_id, "key"), tenant=request.auth.administered)
    if not known:
        raise not_found("key")
    services.keyring.forget(key_id)


def _shown(key: ApiKey) -> dict[str, Any]:
    shown = {name: getattr(key, name) for name in KeyView.__struct_fields__}
    return shown | {"scopes": sorted(key.scopes)}


def _made(key: ApiKey, written: str, status: HTTPStatus, headers: dict[str, str] | None = None) -> Response[bytes]:
    body = msgspec.json.encode(MadeKey(**_shown(key), key=written))
    return Response(body, status_code=status, media_type=JSON, headers=NOT_TO_BE_KEPT | (headers or {}))


router = Router("/v1/keys", route_handlers=with_options(create, index, rotate, revoke))
