"""What a task is: the typed message both services agree on, and where its work belongs."""

from enum import StrEnum
from typing import Annotated

import msgspec

#: The id of an uploaded file, as `POST /v1/files` answered it.
FileId = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$", description="The id of an uploaded file.")]

#: The id of an earlier job, as `POST /v1/jobs` answered it.
JobId = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$", description="The id of a job.")]


class ArtifactRef(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An artifact that an earlier job has left behind."""

    job: JobId
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=100, description="The artifact's name.")]


#: Where a task takes a file from.
FileSource = FileId | ArtifactRef


class RunsIn(StrEnum):
    """Where a task's handler runs."""

    PROCESS = "process"  # CPU-bound: a child process that can be killed with all it started
    THREAD = "thread"  # blocking I/O
    EVENT_LOOP = "event_loop"  # async I/O, hundreds at once


class Payload(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The base of every task's input. Unknown fields are refused, so a misspelt option is not silently ignored."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """The base of every task's output."""


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of job: its name, its messages and its limits."""

    name: str  # lower case words joined by hyphens; the `task` a client submits
    summary: str  # one sentence, shown in the catalogue and in OpenAPI
    payload: type[Payload]
    result: type[Result]
    queue: str
    runs_in: RunsIn
    version: int = 1
    timeout_seconds: float = 3600.0
    memory_limit_mb: int = 2048  # of the child and everything it starts; `process` only
    cpu_limit_seconds: float | None = None  # likewise; None: as much as fits into the timeout
    max_attempts: int = 5  # how often a handler may end in an error before the job fails
