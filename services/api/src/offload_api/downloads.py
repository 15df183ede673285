"""Answers with a stored file: streamed, by range, and never shown as a page of this site."""

import base64
from collections.abc import AsyncIterator
from http import HTTPStatus

from litestar import Response
from litestar.response import Stream

from offload_api.bodies import AnyRequest
from offload_api.filenames import attachment
from offload_api.headers import matches
from offload_api.problems import Problem
from offload_api.ranges import RangeUnsatisfiable, requested_range
from offload_shared.artifacts import Artifacts
from offload_shared.job import StoredFile

#: A job's bytes are anybody's: a browser is to take them neither for another type nor for a page of this site.
NEVER_A_PAGE = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; sandbox"}


async def download(request: AnyRequest, artifacts: Artifacts, stored: StoredFile) -> Response[None] | Stream:
    """Return the response to GET or HEAD; raises `Problem` 416 and, before anything is sent, `ArtifactsUnavailable`."""
    headers = _headers(stored)
    if matches(request.headers, headers["ETag"]):
        return Response(None, status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    start, end = _wanted(request, stored, headers["ETag"])
    partial = (start, end) != (0, stored.size)
    if partial:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{stored.size}"
    headers["Content-Length"] = str(end - start)
    content = _nothing() if request.method == "HEAD" else await _begun(artifacts.send(stored.key, start, end))
    status = HTTPStatus.PARTIAL_CONTENT if partial else HTTPStatus.OK
    return Stream(content, status_code=status, headers=headers)


def _headers(stored: StoredFile) -> dict[str, str]:
    return {
        "Content-Type": stored.media_type,  # Litestar would add a charset of its own to text
        "ETag": f'"{stored.sha256}"',
        "Repr-Digest": f"sha-256=:{base64.b64encode(bytes.fromhex(stored.sha256)).decode()}:",
        "Content-Disposition": attachment(stored.name),
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        **NEVER_A_PAGE,
    }


def _wanted(request: AnyRequest, stored: StoredFile, etag: str) -> tuple[int, int]:
    if request.headers.get("if-range", etag) != etag:
        return 0, stored.size
    try:
        return requested_range(request.headers.get("range", ""), stored.size) or (0, stored.size)
    except RangeUnsatisfiable:
        status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
        detail = f"The range begins behind the end: the file has {stored.size} bytes."
        headers = {"Content-Range": f"bytes */{stored.size}"}
        raise Problem(status, "range-not-satisfiable", "No such range", detail, headers=headers) from None


async def _begun(content: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    # The first bytes are fetched before the status goes out, so that a storage that fails is a 503 and no torn file.
    first = await anext(content, b"")

    async def rest() -> AsyncIterator[bytes]:
        yield first
        async for chunk in content:
            yield chunk

    return rest()


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""
