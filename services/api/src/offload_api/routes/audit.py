"""The audit trail, for administrators."""

from datetime import datetime
from typing import Annotated

import msgspec
from litestar import Response, Router, route
from litestar.di import NamedDependency
from msgspec import UNSET, Meta, UnsetType

from offload_api import paging
from offload_api.access import needs
from offload_api.bodies import AnyRequest
from offload_api.reading import JSON
from offload_api.services import Services
from offload_shared.keys import Scope
from offload_shared.store import audits
from offload_shared.store.audits import WantedRecords


class Query(paging.Query, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters of the trail."""

    key_id: Annotated[str, Meta(pattern=paging.ID_PATTERN)] | UnsetType = UNSET
    subject: Annotated[str, Meta(pattern=audits.SUBJECT_PATTERN)] | UnsetType = UNSET
    target: Annotated[str, Meta(pattern=audits.TARGET_PATTERN)] | UnsetType = UNSET


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A request that was to change something, and the status of its answer."""

    at: datetime
    tenant: str
    key_id: str | None
    subject: Annotated[str | None, Meta(description="Of the token, where it was no key.")]
    address: Annotated[str, Meta(description="Where the connection came from.")]
    method: str
    route: str
    target: Annotated[str | None, Meta(description="What was made or asked for, by its id; a queue by its name.")]
    status: int


class AuditPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the trail, the newest first; `next_page_token` is null on the last."""

    entries: list[AuditEntry]
    next_page_token: str | None


@route("/v1/audit", http_method=["GET", "HEAD"], opt=needs(Scope.ADMIN))
async def index(request: AnyRequest, services: NamedDependency[Services]) -> Response[bytes]:
    """Answer with a page of what the caller's tenant did; to an operator, of what all tenants did."""
    query = paging.read_query(request, Query)
    tenant = request.auth.administered
    wanted = {name: getattr(query, name) or None for name in ("key_id", "subject", "target")}
    page = paging.page_of(query, WantedRecords(tenant=tenant, **wanted))
    found = await services.store.scan(audits.page, page.wanted, size=page.size + 1, older_than=page.older_than)
    shown = found[: page.size]
    token = paging.token(page.wanted, shown[-1].id) if len(found) > page.size else None
    headers = paging.page_headers(request, token) | {"Cache-Control": "no-store"}
    entries = [AuditEntry(**{name: getattr(each, name) for name in AuditEntry.__struct_fields__}) for each in shown]
    return Response(
        msgspec.json.encode(AuditPage(entries=entries, next_page_token=token)), media_type=JSON, headers=headers
    )


router = Router("/", route_handlers=[index])
