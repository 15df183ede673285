"""The query of a list: what is wanted, and where a page begins."""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import Counter
from datetime import datetime
from typing import Annotated, Generic, Literal, TypeVar
from urllib.parse import urlencode
from zlib import crc32

import msgspec
from msgspec import UNSET, Meta, UnsetType

from offload_api.bodies import AnyRequest
from offload_api.problems import malformed
from offload_api.schedules import NAME_PATTERN as SCHEDULE_NAME_PATTERN
from offload_api.submissions import EARLIEST, LATEST
from offload_api.views import ShownState
from offload_shared import ids
from offload_shared.store.listing import Wanted
from offload_shared.store.schedules import WantedSchedules

PAGE_SIZE, LARGEST_PAGE = 50, 200
LONGEST_TOKEN = 200

NAME_PATTERN = "^[ -~]{1,100}$"
ID_PATTERN = "^[0-9a-f]{32}$"

Name = Annotated[str, Meta(pattern=NAME_PATTERN)]
Filter = TypeVar("Filter", bound=msgspec.Struct)


class Query(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters of any list."""

    # Unset, not None: the word `null` in a query is a word.
    page_size: Annotated[int, Meta(ge=1, le=LARGEST_PAGE)] = PAGE_SIZE
    page_token: Annotated[str, Meta(max_length=LONGEST_TOKEN)] | UnsetType = UNSET


class JobQuery(Query, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters of a list of jobs."""

    state: ShownState | UnsetType = UNSET
    task: Name | UnsetType = UNSET
    queue: Name | UnsetType = UNSET
    tag: Name | UnsetType = UNSET
    schedule_id: Annotated[str, Meta(pattern=ID_PATTERN)] | UnsetType = UNSET
    flow_id: Annotated[str, Meta(pattern=ID_PATTERN)] | UnsetType = UNSET
    created_after: Annotated[datetime, Meta(tz=True)] | UnsetType = UNSET


class ScheduleQuery(Query, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters of a list of schedules."""

    name: Annotated[str, Meta(pattern=SCHEDULE_NAME_PATTERN)] | UnsetType = UNSET
    paused: Literal["true", "false"] | UnsetType = UNSET  # as JSON writes them, and in no other way


AnyQuery = TypeVar("AnyQuery", bound=Query)


class Page(msgspec.Struct, Generic[Filter], frozen=True, kw_only=True):
    """What is wanted, and which page of it."""

    wanted: Filter
    size: int
    older_than: str | None  # the id of the last that the client has


def read_jobs(request: AnyRequest) -> Page[Wanted]:
    """Return which jobs a request's query asks for; raises `Problem` 400."""
    query = read_query(request, JobQuery)
    after = query.created_after or None
    if after is not None and not EARLIEST <= after <= LATEST:
        raise malformed(f"`created_after` is not between the years {EARLIEST.year} and {LATEST.year}.")
    wanted = Wanted(
        tenant=request.auth.tenant,
        state=query.state or None,
        task=query.task or None,
        queue=query.queue or None,
        tag=query.tag or None,
        created_after=after,
        schedule_id=query.schedule_id or None,
        flow_id=query.flow_id or None,
    )
    return page_of(query, wanted)


def read_schedules(request: AnyRequest) -> Page[WantedSchedules]:
    """Return which schedules a request's query asks for; raises `Problem` 400."""
    query = read_query(request, ScheduleQuery)
    paused = None if query.paused is UNSET else query.paused == "true"
    wanted = WantedSchedules(tenant=request.auth.tenant, name=query.name or None, paused=paused)
    return page_of(query, wanted)


def page_of(query: Query, wanted: Filter) -> Page[Filter]:
    """Return which page a query asks for of what is wanted; raises `Problem` 400."""
    older_than = _last_id(query.page_token, wanted) if query.page_token is not UNSET else None
    return Page(wanted=wanted, size=query.page_size, older_than=older_than)


def read_query(request: AnyRequest, kind: type[AnyQuery]) -> AnyQuery:
    """Return a request's query as a `kind`; raises `Problem` 400."""
    given = list(request.query_params.multi_items())
    times = Counter(name for name, _ in given)
    if twice := next((name for name in times if times[name] > 1), None):
        raise malformed(f"`{twice}` is given more than once.")
    try:
        return msgspec.convert(dict(given), kind, strict=False)
    except msgspec.ValidationError as error:
        raise malformed(f"The query is not valid: {error}.") from None


def token(wanted: msgspec.Struct, last_id: str) -> str:
    """Return the token of the page behind the one that ends with this id."""
    return urlsafe_b64encode(f"{last_id}{_mark(wanted)}".encode()).decode()


def next_page(request: AnyRequest, page_token: str) -> str:
    """Return the address of the next page: this request's, but for its token."""
    query = {**dict(request.query_params.multi_items()), "page_token": page_token}
    return f"{request.url.path}?{urlencode(query)}"


def page_headers(request: AnyRequest, page_token: str | None) -> dict[str, str]:
    """Return the headers of a page, with the address of the next where there is one."""
    headers = {"Cache-Control": "private, no-cache"}
    if page_token:
        headers["Link"] = f'<{next_page(request, page_token)}>; rel="next"'
    return headers


def _last_id(page_token: str, wanted: msgspec.Struct) -> str:
    try:
        decoded = urlsafe_b64decode(page_token.encode()).decode()
    except (binascii.Error, ValueError):
        decoded = ""
    last_id, mark = decoded[: ids.LENGTH], decoded[ids.LENGTH :]
    if mark != _mark(wanted) or not ids.is_id(last_id):
        raise malformed("`page_token` is not one that this list gave for the same filters.")
    return last_id


def _mark(wanted: msgspec.Struct) -> str:
    # A token of one list is refused by another: it would begin in the middle of it without a word.
    return f"{crc32(msgspec.json.encode(wanted)):08x}"
