"""Reads request bodies no further than their limit, and only in the form they are taken in."""

from collections.abc import AsyncIterator
from typing import Any

from litestar import Request
from litestar.types import Receive

from offload_api.problems import malformed, too_large, unsupported_media_type

AnyRequest = Request[Any, Any, Any]


async def read_json(request: AnyRequest, *, limit_bytes: int) -> bytes:
    """Return the bytes of a body that is announced as JSON; raises `Problem` 413 or 415.

    A web page of another site can send text/plain without asking, so nothing but JSON's own type will do.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise unsupported_media_type("Send the job as JSON, with Content-Type: application/json.")
    return b"".join([chunk async for chunk in chunks(request, limit_bytes=limit_bytes)])


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
    total, more = 0, True
    while more:
        event = await receive()
        if event["type"] != "http.request":
            raise malformed("The connection closed before the end of the body.")
        total += len(event["body"])
        if total > limit_bytes:
            raise too_large(limit_bytes)
        more = event["more_body"]
        if event["body"]:
            yield event["body"]
