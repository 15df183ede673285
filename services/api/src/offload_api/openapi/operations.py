"""Operations of OpenAPI: a method of an address, its parameters and all of its answers."""

from collections.abc import Mapping

from offload_api.openapi.components import Schema, ref
from offload_api.openapi.responses import PROBLEMS, answer
from offload_api.problems import MEDIA_TYPE as PROBLEM


def operation(
    name: str,
    tag: str,
    summary: str,
    answers: Mapping[int, Schema],
    *problems: int,
    parameters: tuple[Schema, ...] = (),
    body: Schema | None = None,
    body_required: bool = True,
) -> Schema:
    """Return an operation with its successes and, by their status, the problems it can answer."""
    refused = {status: answer(PROBLEMS[status], ref("ProblemDetails"), media_type=PROBLEM) for status in problems}
    made: Schema = {
        "operationId": name,
        "tags": [tag],
        "summary": summary,
        "parameters": list(parameters),
        "responses": {str(status): each for status, each in sorted({**answers, **refused}.items())},
    }
    if body is not None:
        made["requestBody"] = {"required": body_required, "content": body}
    return made


def readable(made: Schema) -> dict[str, Schema]:
    """Return the operations GET and HEAD: the same, but that HEAD has no body."""
    name = made["operationId"]
    bare = {status: {k: v for k, v in each.items() if k != "content"} for status, each in made["responses"].items()}
    head = {**made, "operationId": f"head{name[0].upper()}{name[1:]}", "responses": bare}
    return {"get": made, "head": head}
