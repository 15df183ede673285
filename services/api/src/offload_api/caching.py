"""Answers that change with a release alone: named by a hash, and sent again only when they have changed."""

import hashlib
from http import HTTPStatus

from litestar import Response

from offload_api.bodies import AnyRequest
from offload_api.headers import matches


def cacheable(request: AnyRequest, body: bytes, media_type: str = "application/json") -> Response[bytes | None]:
    """Return the response with this body, or 304 when the client has it."""
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": "no-cache"}
    if matches(request.headers, etag):
        return Response(None, status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(body, media_type=media_type, headers=headers)
