"""The query of a list of jobs: what is wanted, and where a page begins."""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import Counter
from datetime import datetime
from typing import Annotated, TypeVar
from urllib.parse import urlencode
from zlib import crc32

import msgspec
from msgspec import UNSET, Meta, UnsetType

from offload_api.bodies import AnyRequest
from offload_api.problems import malformed
from offload_api.submissions import EARLIEST, LATEST
from offload_api.views import ShownState
from offload_shared import ids
from offload_shared.store.listing import Wanted

PAGE_SIZE, LARGEST_PAGE = 50, 200

NAME_PATTERN = "^[ -~]{1,100}$"

AnyQuery = TypeVar("AnyQuery", bound=msgspec.Struct)
Name = Annotated[str, Meta(pattern=NAME_PATTERN)]


class Query(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters of a list of jobs."""

    # Unset, not None: the word `null` in a query is a word.
    state: ShownState | UnsetType = UNSET
    task: Name | UnsetType = UNSET
    queue: Name | UnsetType = UNSET
    tag: Name | UnsetType = UNSET
    created_after: Annotated[datetime, Meta(tz=True)] | UnsetType = UNSET
    page_size: Annotated[int, Meta(ge=1, le=LARGEST_PAGE)] = PAGE_SIZE
    page_token: Annotated[str, Meta(max_length=200)] | UnsetType = UNSET


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Which jobs are wanted, and which page of them."""

    wanted: Wanted
    size: int
    older_than: str | None  # the id of the last job that the client has


def read(request: AnyRequest) -> Page:
    """Return what a request's query asks for; raises `Problem` 400."""
    query = read_query(request, Query)
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
    )
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


def token(wanted: Wanted, last_id: str) -> str:
    """Return the token of the page behind the job of this id."""
    return urlsafe_b64encode(f"{last_id}{_mark(wanted)}".encode()).decode()


def next_page(request: AnyRequest, page_token: str) -> str:
    """Return the address of the next page: this request's, but for its token."""
    query = {**dict(request.query_params.multi_items()), "page_token": page_token}
    return f"{request.url.path}?{urlencode(query)}"


def _last_id(page_token: str, wanted: Wanted) -> str:
    try:
        decoded = urlsafe_b64decode(page_token.encode()).decode()
    except (binascii.Error, ValueError):
        decoded = ""
    last_id, mark = decoded[: ids.LENGTH], decoded[ids.LENGTH :]
    if mark != _mark(wanted) or not ids.is_id(last_id):
        raise malformed("`page_token` is not one that this list gave for the same filters.")
    return last_id


def _mark(wanted: Wanted) -> str:
    # A token of one list is refused by another: it would begin in the middle of it without a word.
    return f"{crc32(msgspec.json.encode(wanted)):08x}"
