"""The catalogue of tasks: what can be submitted, and what comes back."""

from typing import Any

import msgspec
from litestar import Response, Router, route
from litestar.di import NamedDependency
from litestar.params import FromPath

from offload_api.access import needs
from offload_api.bodies import AnyRequest
from offload_api.caching import cacheable
from offload_api.services import Services
from offload_api.submissions import unknown_task
from offload_shared.keys import Scope
from offload_shared.tasks.task import RunsIn, Task


class TaskLinks(msgspec.Struct, frozen=True):
    """Where to go from here."""

    self: str
    submit: str = "/v1/jobs"


class TaskView(msgspec.Struct, frozen=True, kw_only=True):
    """A task: a kind of job, with JSON Schemas of what it takes and gives."""

    name: str
    summary: str
    version: int
    queue: str
    runs_in: RunsIn
    timeout_seconds: float
    memory_limit_mb: int
    cpu_limit_seconds: float | None
    max_attempts: int
    payload_schema: dict[str, Any]
    result_schema: dict[str, Any]
    links: TaskLinks


class TaskList(msgspec.Struct, frozen=True):
    """All tasks, by name."""

    tasks: list[TaskView]


def task_view(task: Task) -> TaskView:
    """Return what a client is shown of a task."""
    return TaskView(
        name=task.name,
        summary=task.summary,
        version=task.version,
        queue=task.queue,
        runs_in=task.runs_in,
        timeout_seconds=task.timeout_seconds,
        memory_limit_mb=task.memory_limit_mb,
        cpu_limit_seconds=task.cpu_limit_seconds,
        max_attempts=task.max_attempts,
        payload_schema=msgspec.json.schema(task.payload),
        result_schema=msgspec.json.schema(task.result),
        links=TaskLinks(f"/v1/tasks/{task.name}"),
    )


@route("/", http_method=["GET", "HEAD"], opt=needs(Scope.READ))
async def index(request: AnyRequest, services: NamedDependency[Services]) -> Response[bytes | None]:
    """Answer with every task."""
    views = [task_view(task) for _, task in sorted(services.tasks.items())]
    return cacheable(request, msgspec.json.encode(TaskList(views)))


@route("/{name:str}", http_method=["GET", "HEAD"], opt=needs(Scope.READ))
async def show(request: AnyRequest, services: NamedDependency[Services], name: FromPath[str]) -> Response[bytes | None]:
    """Answer with one task."""
    if name not in services.tasks:
        raise unknown_task()
    return cacheable(request, msgspec.json.encode(task_view(services.tasks[name])))


router = Router("/v1/tasks", route_handlers=[index, show])
