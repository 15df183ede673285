"""What OpenAPI says of keys, of tokens and of limits: taken from what the routes themselves ask for."""

from collections.abc import Mapping
from typing import Any

from offload_api.access import Need
from offload_api.fetching import configuration_url
from offload_api.openapi.components import Schema, ref
from offload_api.openapi.responses import PROBLEMS, answer
from offload_api.problems import MEDIA_TYPE as PROBLEM
from offload_api.settings import ApiSettings

#: Named in the schemes' places by each operation, with the scope that it needs.
KEY = "key"
TOKEN = "token"  # noqa: S105 - a name

CHALLENGE = ("WWW-Authenticate",)
LIMITED = ("Retry-After", "RateLimit", "RateLimit-Policy")

UNAVAILABLE = ("Retry-After",)


def schemes(settings: ApiSettings) -> dict[str, Schema]:
    """Return what lets in; where nothing has to, a key does no harm."""
    found: dict[str, Schema] = {}
    if settings.takes_keys or not settings.asks:
        found[KEY] = {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "ofl_<id>_<secret>",
            "description": "An API key. An operation names the scope that its key needs.",
        }
    if settings.takes_tokens:
        found[TOKEN] = {
            "type": "openIdConnect",
            "openIdConnectUrl": configuration_url(settings.jwt_issuer),
            "description": (
                f"A JWT of the issuer {settings.jwt_issuer} for the audience {settings.jwt_audience}, "
                f"with the scope that an operation names in its claim {settings.jwt_scope_claim}."
            ),
        }
    return found


def secured(
    paths: Mapping[str, dict[str, Any]], needed: Mapping[tuple[str, str], Need | None], settings: ApiSettings
) -> dict[str, dict[str, Any]]:
    """Return the operations, each with what it asks of its caller; where nothing is asked for, nothing will do too.

    Whoever is known may also send too many requests.
    """
    return {
        path: {method: _secured(operation, needed.get((path, method)), settings) for method, operation in item.items()}
        for path, item in paths.items()
    }


def _secured(operation: Schema, need: Need | None, settings: ApiSettings) -> Schema:
    if need is None:
        return {**operation, "security": []}
    problem = ref("ProblemDetails")
    told = PROBLEMS | ({403: f"{PROBLEMS[403]} It has to be one of the default tenant."} if need.operator else {})
    statuses = [(401, CHALLENGE), (403, CHALLENGE), (429, LIMITED)]
    if "503" not in operation["responses"]:  # then it is the key or the token that nothing can be known of now
        statuses.append((503, UNAVAILABLE))
    refused = {str(status): answer(told[status], problem, *headers, media_type=PROBLEM) for status, headers in statuses}
    if operation["operationId"].startswith("head"):
        refused = {status: {k: v for k, v in each.items() if k != "content"} for status, each in refused.items()}
    scopes = {KEY: str(need.scope), TOKEN: f"{settings.jwt_scope_prefix}{need.scope}"}
    security: list[Schema] = [{name: [scopes[name]]} for name in schemes(settings)]
    return {
        **operation,
        "security": security if settings.asks else [{}, *security],
        "responses": dict(sorted({**operation["responses"], **refused}.items())),
    }
