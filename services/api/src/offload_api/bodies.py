"""Reads request bodies no further than their limit, no slower than is fair, and only in the form they are taken in."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from typing import Any, TypeVar

import msgspec
from litestar import Request
from litestar.types import Receive

from offload_api import strictness
from offload_api.access import Caller
from offload_api.held import SMALL_BYTES, HeldBodies
from offload_api.problems import Problem, invalid, malformed, too_large, unsupported_media_type
from offload_api.validation import field_errors

#: A body may keep its request waiting for so long, and a second more for each so many of its bytes that have come.
SLOWEST_BODY_SECONDS = 20.0
SLOWEST_BYTES_PER_SECOND = 500
#: Of JSON, which is held in memory meanwhile.
SLOWEST_JSON_BYTES_PER_SECOND = 20_000

#: `auth` is who sends it; not there on a route that asks nobody.
AnyRequest = Request[Any, Caller, Any]

Body = TypeVar("Body", bound=msgspec.Struct)


JSON_TYPES = ("application/json",)
#: Of a change of what is there (RFC 7396).
MERGE_PATCH_TYPES = ("application/merge-patch+json", "application/json")


@asynccontextmanager
async def held_json(
    request: AnyRequest, held: HeldBodies, *, limit_bytes: int, media_types: tuple[str, ...] = JSON_TYPES
) -> AsyncIterator[bytes]:
    """Give the bytes of a JSON body, which has its room among all that are held until the end of the block.

    Raises `Problem` 400, 408, 413, 415 or 503.
    """
    coming = _json_chunks(request, limit_bytes, media_types)
    client = request.client.host if request.client else ""
    total = _announced_bytes(request)
    received = bytearray()  # not a list of chunks, which may be as small as they like
    async with AsyncExitStack() as room:
        is_held = total > SMALL_BYTES
        if is_held:
            await room.enter_async_context(held.room(client, total))
        async for chunk in coming:
            received += chunk
            if not is_held and len(received) > SMALL_BYTES:  # nobody has said how long it is
                await room.enter_async_context(held.room(client, limit_bytes))
                is_held = True
        body = bytes(received)
        received.clear()
        yield body


async def read_as(
    request: AnyRequest, kind: type[Body], *, limit_bytes: int, media_types: tuple[str, ...] = JSON_TYPES
) -> Body:
    """Return a small JSON body as a `kind`; no body at all is an empty object. Raises `Problem` 400 to 422."""
    if request.headers.get("content-length", "0") == "0" and "transfer-encoding" not in request.headers:
        body = b"{}"
    else:
        body = b"".join([chunk async for chunk in _json_chunks(request, limit_bytes, media_types)])
    strictness.require_sound(body)
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise malformed(f"The body is not JSON: {error}.") from None
    if errors := field_errors(value, kind):
        raise invalid(errors)
    strictness.require_printable(body)
    return msgspec.convert(value, kind)


def _json_chunks(request: AnyRequest, limit_bytes: int, media_types: tuple[str, ...]) -> AsyncIterator[bytes]:
    # A web page of another site can send text/plain without asking, so nothing but JSON's own type will do.
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in media_types:
        raise unsupported_media_type(f"Send the body as JSON, with Content-Type: {media_types[0]}.")
    return chunks(request, limit_bytes=limit_bytes, slowest_bytes_per_second=SLOWEST_JSON_BYTES_PER_SECOND)


def chunks(
    request: AnyRequest, *, limit_bytes: int, slowest_bytes_per_second: int = SLOWEST_BYTES_PER_SECOND
) -> AsyncIterator[bytes]:
    """Return the body's chunks; raises `Problem` 413 or 415 at once, and while reading 413 at the limit, or 408.

    A compressed body is refused, never inflated: a few bytes could become all of the memory.
    """
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise unsupported_media_type("Send the body as it is, without Content-Encoding.")
    if _announced_bytes(request) > limit_bytes:
        raise too_large(limit_bytes)
    return _received(request.receive, limit_bytes, slowest_bytes_per_second)


def _announced_bytes(request: AnyRequest) -> int:
    announced = request.headers.get("content-length", "")
    return int(announced) if announced.isdigit() else 0


async def _received(receive: Receive, limit_bytes: int, slowest_bytes_per_second: int) -> AsyncIterator[bytes]:
    clock = asyncio.get_running_loop().time
    total, more, waited = 0, True, 0.0  # for the client alone, not for whoever takes the chunks
    while more:
        began = clock()
        try:
            allowed = SLOWEST_BODY_SECONDS + total / slowest_bytes_per_second - waited
            # However much has come, what falls silent is given up: a large body would have earned hours.
            async with asyncio.timeout(min(allowed, SLOWEST_BODY_SECONDS)):
                event = await receive()
        except TimeoutError:
            raise _too_slow(slowest_bytes_per_second) from None
        waited += clock() - began
        if event["type"] != "http.request":
            raise malformed("The connection closed before the end of the body.")
        total += len(event["body"])
        if total > limit_bytes:
            raise too_large(limit_bytes)
        more = event["more_body"]
        if event["body"]:
            yield event["body"]


def _too_slow(bytes_per_second: int) -> Problem:
    detail = f"The body came in slower than {bytes_per_second} bytes a second."
    status = HTTPStatus.REQUEST_TIMEOUT
    return Problem(status, "request-timeout", "Request Timeout", detail, headers={"Connection": "close"})
