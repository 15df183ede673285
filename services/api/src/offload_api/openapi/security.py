"""What OpenAPI says of keys and of limits: taken from what the routes themselves ask for."""

from collections.abc import Mapping
from typing import Any

from offload_api.access import Need
from offload_api.openapi.components import Schema, ref
from offload_api.openapi.operations import PROBLEMS, answer
from offload_api.problems import MEDIA_TYPE as PROBLEM

#: Named in the scheme's place by each operation, with the scope that it needs.
NAME = "key"

CHALLENGE = ("WWW-Authenticate",)
LIMITED = ("Retry-After", "RateLimit", "RateLimit-Policy")

SCHEMES: dict[str, Schema] = {
    NAME: {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "ofl_<id>_<secret>",
        "description": "An API key. An operation names the scope that its key needs.",
    }
}


def secured(
    paths: Mapping[str, dict[str, Any]], needed: Mapping[tuple[str, str], Need | None], *, required: bool
) -> dict[str, dict[str, Any]]:
    """Return the operations, each with what it asks of its caller; where keys are not `required`, none will do too.

    Whoever is known may also send too many requests.
    """
    return {
        path: {
            method: _secured(operation, needed.get((path, method)), required=required)
            for method, operation in item.items()
        }
        for path, item in paths.items()
    }


def _secured(operation: Schema, need: Need | None, *, required: bool) -> Schema:
    if need is None:
        return {**operation, "security": []}
    problem = ref("ProblemDetails")
    told = PROBLEMS | ({403: f"{PROBLEMS[403]} It has to be one of the default tenant."} if need.operator else {})
    refused = {
        str(status): answer(told[status], problem, *headers, media_type=PROBLEM)
        for status, headers in ((401, CHALLENGE), (403, CHALLENGE), (429, LIMITED))
    }
    if operation["operationId"].startswith("head"):
        refused = {status: {k: v for k, v in each.items() if k != "content"} for status, each in refused.items()}
    return {
        **operation,
        "security": [{NAME: [need.scope]}] if required else [{}, {NAME: [need.scope]}],
        "responses": dict(sorted({**operation["responses"], **refused}.items())),
    }
