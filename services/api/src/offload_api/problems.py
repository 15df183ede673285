"""Errors as clients see them: problem details (RFC 9457), whatever raised them."""

import logging
import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.types import ExceptionHandlersMap
from msgspec import Meta

from offload_shared.errors import ArtifactsUnavailable, IssuerUnavailable, StoreUnavailable

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 2
#: An outage fails all requests alike: each cause is told once in so long.
TOLD_SECONDS = 1.0
MOST_CAUSES = 100

_log = logging.getLogger(__name__)
_told: dict[str, float] = {}


class FieldError(msgspec.Struct, frozen=True):
    """What is wrong with one field of a request."""

    pointer: Annotated[str, Meta(description="Where it is: a JSON pointer (RFC 6901).", examples=["/payload/rows"])]
    detail: str


class ProblemDetails(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An error (RFC 9457)."""

    type: Annotated[str, Meta(description="Names the kind of problem; a program may rely on it.")]
    title: Annotated[str, Meta(description="The kind of problem, in words.")]
    status: Annotated[int, Meta(ge=400, le=599)]
    detail: Annotated[str, Meta(description="What went wrong this time.")]
    errors: Annotated[list[FieldError], Meta(description="An entry for each bad field.")] = []


class Problem(Exception):  # noqa: N818
    """Ends a request with a problem; `kind` completes its type `/problems/…`."""

    def __init__(
        self,
        status: HTTPStatus,
        kind: str,
        title: str,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.details = ProblemDetails(
            type=f"/problems/{kind}", title=title, status=status, detail=detail, errors=list(errors)
        )
        self.headers = dict(headers or {})


def malformed(detail: str) -> Problem:
    """Return the answer to a body that is no JSON."""
    return Problem(HTTPStatus.BAD_REQUEST, "malformed", "The request is malformed", detail)


def invalid(errors: Sequence[FieldError]) -> Problem:
    """Return the answer to well-formed input that breaks a rule."""
    detail = "; ".join(f"{error.pointer or 'the body'}: {error.detail}" for error in errors[:3])
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    return Problem(status, "invalid", "The request is not valid", detail, errors=errors)


def not_found(what: str) -> Problem:
    """Return the answer to an id that is nobody's or somebody else's: the same for both."""
    return Problem(HTTPStatus.NOT_FOUND, "not-found", "Not Found", f"There is no such {what}.")


def too_large(limit_bytes: int) -> Problem:
    """Return the answer to a body over its limit; the connection closes, so that the rest is never read."""
    detail = f"The body is larger than the {limit_bytes} bytes allowed here."
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    return Problem(status, "too-large", "The body is too large", detail, headers={"Connection": "close"})


def too_many_queued(most: int) -> Problem:
    """Return the answer to a tenant that has as many jobs queued as it may."""
    detail = f"Your tenant may have {most} jobs queued at once; try again as they start."
    headers = {"Retry-After": str(RETRY_SECONDS)}
    return Problem(HTTPStatus.TOO_MANY_REQUESTS, "too-many-queued", "Too many jobs are queued", detail, headers=headers)


def never_fits(jobs: int, most: int) -> Problem:
    """Return the answer to a batch of more jobs than a tenant may ever have queued: to wait would not help."""
    detail = f"The batch has {jobs} jobs, and your tenant may have {most} queued at once; submit fewer together."
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "too-many-queued", "The batch is too large", detail)


def unsupported_media_type(detail: str) -> Problem:
    """Return the answer to a body of another kind than this address takes."""
    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    return Problem(status, "unsupported-media-type", "This media type is not taken here", detail)


def _response(details: ProblemDetails, headers: Mapping[str, str]) -> Response[bytes]:
    body = msgspec.json.encode(details)
    return Response(body, status_code=details.status, headers=dict(headers), media_type=MEDIA_TYPE)


def _from_problem(_: Request[Any, Any, Any], problem: Problem) -> Response[bytes]:
    return _response(problem.details, problem.headers)


def _from_unavailable(_: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    # Why is for the log: a database's own words may name hosts and users.
    _tell(str(error))
    what = "artifact storage" if isinstance(error, ArtifactsUnavailable) else "job store"
    details = ProblemDetails(
        type="/problems/unavailable",
        title="Not available now",
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        detail=f"The {what} is not available; what was done is not known. Repeat the request, with its key.",
    )
    return _response(details, {"Retry-After": str(RETRY_SECONDS)})


def _from_issuer_unavailable(_: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    _tell(str(error))
    details = ProblemDetails(
        type="/problems/unavailable",
        title="Not available now",
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        detail="The token cannot be verified: its issuer is not available. Nothing was done; repeat the request.",
    )
    return _response(details, {"Retry-After": str(RETRY_SECONDS)})


def _tell(cause: str) -> None:
    now = time.monotonic()
    if now >= _told.get(cause, 0.0) + TOLD_SECONDS:
        if len(_told) == MOST_CAUSES:
            _told.clear()
        _told[cause] = now
        _log.warning("%s", cause)


def _from_http_exception(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """Answer for Litestar, which itself refuses only unknown addresses and methods."""
    if error.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _from_anything(request, error)
    status = HTTPStatus(error.status_code)
    details = ProblemDetails(
        type=f"/problems/{status.phrase.lower().replace(' ', '-')}",
        title=status.phrase,
        status=status,
        detail=_DETAILS.get(status, error.detail),
    )
    return _response(details, error.headers or {})


_DETAILS = {
    HTTPStatus.NOT_FOUND: "There is nothing at this address.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This address does not take this method; see the Allow header.",
}


def _from_anything(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    details = ProblemDetails(
        type="/problems/internal",
        title="Internal server error",
        status=HTTPStatus.INTERNAL_SERVER_ERROR,
        detail="Something went wrong here, not in the request; the server's log says what.",
    )
    return _response(details, {})


HANDLERS: ExceptionHandlersMap = {
    Problem: _from_problem,
    StoreUnavailable: _from_unavailable,
    ArtifactsUnavailable: _from_unavailable,
    IssuerUnavailable: _from_issuer_unavailable,
    HTTPException: _from_http_exception,
    Exception: _from_anything,
}
