"""Reads request bodies no further than their limit, no slower than is fair, and only in the form they are taken in."""

import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any, TypeVar

import msgspec
from litestar import Request
from litestar.types import Receive

from offload_api import strictness
from offload_api.access import Caller
from offload_api.problems import Problem, invalid, malformed, too_large, unsupported_media_type
from offload_api.validation import field_errors

#: A body may keep its request waiting for so long, and a second more for each so many of its bytes that have come.
SLOWEST_BODY_SECONDS = 20.0
SLOWEST_BYTES_PER_SECOND = 500

#: `auth` is who sends it; not there on a route that asks nobody.
AnyRequest = Request[Any, Caller, Any]

Body = TypeVar("Body", bound=msgspec.Struct)


JSON_TYPES = ("application/json",)
#: Of a change of what is there (RFC 7396).
MERGE_PATCH_TYPES = ("application/merge-patch+json", "application/json")


async def read_json(request: AnyRequest, *, limit_bytes: int, media_types: tuple[str, ...] = JSON_TYPES) -> bytes:
    """Return the bytes of a body that is announced as JSON, or as one of `media_types`; raises `Problem` 413 or 415.

    A web page of another site can send text/plain without asking, so nothing but JSON's own type will do.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in media_types:
        raise unsupported_media_type(f"Send the body as JSON, with Content-Type: {media_types[0]}.")
    return b"".join([chunk async for chunk in chunks(request, limit_bytes=limit_bytes)])


async def read_as(
    request: AnyRequest, kind: type[Body], *, limit_bytes: int, media_types: tuple[str, ...] = JSON_TYPES
) -> Body:
    """Return a JSON body as a `kind`; no body at all is an empty object. Raises `Problem` 400, 413, 415 or 422."""
    if request.headers.get("content-length", "0") == "0" and "transfer-encoding" not in request.headers:
        body = b"{}"
    else:
        body = await read_json(request, limit_bytes=limit_bytes, media_types=media_types)
    strictness.require_sound(body)
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise malformed(f"The body is not JSON: {error}.") from None
    if errors := field_errors(value, kind):
        raise invalid(errors)
    strictness.require_printable(body)
    return msgspec.convert(value, kind)


def chunks(request: AnyRequest, *, limit_bytes: int) -> AsyncIterator[bytes]:
    """Return the body's chunks; raises `Problem` 413 or 415 at once, and while reading 413 at the limit.

    A compressed body is refused, never inflated: a few bytes could become all of the memory.
    """
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise unsupported_media_type("Send the body as it is, without Content-Encoding.")
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit_bytes:
        raise too_large(limit_bytes)
    return _received(request.receive, limit_bytes)


async def _received(receive: Receive, limit_bytes: int) -> AsyncIterator[bytes]:
    clock = asyncio.get_running_loop().time
    total, more, waited = 0, True, 0.0  # for the client alone, not for whoever takes the chunks
    while more:
        began = clock()
        try:
            allowed = SLOWEST_BODY_SECONDS + total / SLOWEST_BYTES_PER_SECOND - waited
            # However much has come, what falls silent is given up: a large body would have earned hours.
            async with asyncio.timeout(min(allowed, SLOWEST_BODY_SECONDS)):
                event = await receive()
        except TimeoutError:
            raise _too_slow() from None
        waited += clock() - began
        if event["type"] != "http.request":
            raise malformed("The connection closed before the end of the body.")
        total += len(event["body"])
        if total > limit_bytes:
            raise too_large(limit_bytes)
        more = event["more_body"]
        if event["body"]:
            yield event["body"]


def _too_slow() -> Problem:
    detail = f"The body came in slower than {SLOWEST_BYTES_PER_SECOND} bytes a second."
    status = HTTPStatus.REQUEST_TIMEOUT
    return Problem(status, "request-timeout", "Request Timeout", detail, headers={"Connection": "close"})
