"""Runs a handler without a worker: its payload and its result pass through JSON as they do in the service."""

import asyncio
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from offload_shared import tasks
from offload_shared.job import Failed
from offload_shared.tasks.task import Payload, Task
from offload_testing.job import FakeJob
from offload_worker import handlers
from offload_worker.runners import call


class HandlerFailed(AssertionError):  # noqa: N818
    """The service would not take what the handler returned; the message says why."""


class Ran(msgspec.Struct, frozen=True):
    """What a handler made: its result, and the job with what it was told."""

    result: Any  # of the task's result type
    job: FakeJob

    def artifact(self, name: str) -> bytes:
        """Return the content of an artifact."""
        if name not in self.job.artifacts:
            msg = f"the handler has named no artifact {name!r}, but {sorted(self.job.artifacts)}"
            raise HandlerFailed(msg)
        return (self.job.folder / name).read_bytes()


def run_alone(
    folder: Path,
    task: str | Task,
    payload: Payload | Mapping[str, Any],
    *,
    files: Mapping[str, bytes] | None = None,
    job: FakeJob | None = None,
) -> Ran:
    """Run a task's handler here and now, with its files and artifacts in `folder`.

    `files` has uploaded files by their ids, and artifacts of earlier jobs by `<job id>-<name>`. Raises what the
    handler raises, `msgspec.ValidationError` for a payload that the API would not take, and `HandlerFailed`.
    """
    known = tasks.registry()[task] if isinstance(task, str) else task
    running = job or FakeJob(folder)
    for name, content in (files or {}).items():
        running.upload(name, content)
    decoded = msgspec.json.decode(msgspec.json.encode(payload), type=known.payload)
    result = handlers.load(known.name)(decoded, running)
    if inspect.iscoroutine(result):
        result = asyncio.run(result)
    outcome = call.succeeded(known, result)
    if isinstance(outcome, Failed):
        raise HandlerFailed(outcome.detail)
    return Ran(msgspec.json.decode(outcome.result, type=known.result), running)
