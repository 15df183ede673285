"""The handlers this worker knows: ours, named here, and a team's own, found by entry point.

A handler is a function of a task's payload and a `JobHandle`, async where its task runs in the event loop; it returns
the task's result. Named by strings, so that only what runs a handler imports it.
"""

import importlib
import inspect
from collections.abc import Callable
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from offload_shared.errors import SettingsInvalid
from offload_shared.tasks.task import RunsIn, Task

SHIPPED = {
    "echo": "offload_worker.handlers.echo:echo",
    "fetch-urls": "offload_worker.handlers.fetch_urls:fetch_urls",
    "predict": "offload_worker.handlers.predict:predict",
    "render-report": "offload_worker.handlers.render_report:render_report",
    "send-email": "offload_worker.handlers.send_email:send_email",
    "train-model": "offload_worker.handlers.train_model:train_model",
}

#: An entry point of this group is named as its task, and names the function.
ENTRY_POINT_GROUP = "offload.handlers"


@cache
def registry() -> dict[str, str]:
    """Return where each task's handler is to be found, as `module:function`."""
    return {point.name: point.value for point in entry_points(group=ENTRY_POINT_GROUP)} | SHIPPED


@cache
def load(task: str) -> Callable[..., Any]:
    """Import and return a task's handler; raises `KeyError` for a task without one."""
    module, _, function = registry()[task].partition(":")
    handler: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return handler


def check(task: Task) -> None:
    """Import the handler of a task that runs in this process; raises `SettingsInvalid` where it cannot run there."""
    is_async = inspect.iscoroutinefunction(load(task.name))
    if is_async != (task.runs_in is RunsIn.EVENT_LOOP):
        kind, place = ("an async", "a thread") if is_async else ("a blocking", "the event loop")
        msg = f"{kind} function cannot run in {place}: {registry()[task.name]}, the handler of task {task.name!r}"
        raise SettingsInvalid(msg)


def modules(tasks: set[str]) -> list[str]:
    """Return the modules that these tasks' handlers are in."""
    return sorted({registry()[task].partition(":")[0] for task in tasks})
