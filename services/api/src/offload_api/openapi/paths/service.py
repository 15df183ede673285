"""What OpenAPI says of tasks, health and the documents themselves."""

from typing import Any

from offload_api.openapi.components import ref
from offload_api.openapi.operations import operation, readable
from offload_api.openapi.parameters import IF_NONE_MATCH, TASK
from offload_api.openapi.responses import answer, unchanged

PATHS: dict[str, dict[str, Any]] = {
    "/v1/tasks": readable(
        operation(
            "listTasks",
            "tasks",
            "List the tasks there are, with JSON Schemas of what they take and give.",
            {200: answer("Every task.", ref("TaskList"), "ETag"), 304: unchanged("ETag")},
            parameters=(IF_NONE_MATCH,),
        )
    ),
    "/v1/tasks/{name}": readable(
        operation(
            "getTask",
            "tasks",
            "Look at one task.",
            {200: answer("The task.", ref("TaskView"), "ETag"), 304: unchanged("ETag")},
            404,
            parameters=(TASK, IF_NONE_MATCH),
        )
    ),
    "/health/live": readable(
        operation("getLiveness", "health", "Ask for a sign of life.", {200: answer("It answers.", ref("Liveness"))})
    ),
    "/health/ready": readable(
        operation(
            "getReadiness",
            "health",
            "Ask whether jobs can be accepted.",
            {
                200: answer("They can; without the broker they are kept until it is back.", ref("Readiness")),
                503: answer("They cannot: the store is away.", ref("Readiness")),
            },
        )
    ),
}
