"""Tasks that can end in every way there is, one for each place where work runs."""

from typing import Annotated, Literal

from msgspec import Meta

from offload_shared.tasks.task import FileId, JobId, Payload, Result, RunsIn, Task

Action = Literal[
    "return",
    "raise",
    "raise-once",
    "reject",
    "exit",
    "segfault",
    "kill-once",
    "spin",
    "spin-in-c",
    "ignore-sigterm",
    "block",
    "grandchild",
    "daemon",
    "daemon-once",
    "leave-daemon",
    "crash-and-leave-daemon",
    "sleep",
    "sleep-once",
    "sleep-without-checkpoint",
    "allocate",
    "allocate-at-once",
    "allocate-in-grandchild",
    "burn-in-grandchildren",
    "hoard",
    "print",
    "print-without-end",
    "large-result",
    "broken-frame",
    "artifact",
    "read-file",
    "read-artifact",
    "surroundings",
    "threads",
    "descriptors",
    "disturb",
    "examine",
    "forge-ends",
    "link-artifacts",
    "fork-and-leave",
    "fork-and-sleep",
    "fork-without-end",
    "raise-unprintable",
    "close-connection",
    "progress",
    "count",
]


class Probe(Payload, frozen=True, kw_only=True):
    """What to do."""

    action: Action = "return"
    seconds: Annotated[float, Meta(ge=0, le=100_000)] = 0.0
    file_id: FileId | None = None
    job_id: JobId | None = None
    note: Annotated[str, Meta(max_length=1000)] = ""


class ProbeResult(Result, frozen=True, kw_only=True):
    """What was done, and where."""

    attempt: int
    pid: int
    note: str = ""


def _probe(name: str, queue: str, runs_in: RunsIn) -> Task:
    return Task(
        name=name,
        summary="Ends in whatever way it is asked to.",
        payload=Probe,
        result=ProbeResult,
        queue=queue,
        runs_in=runs_in,
        timeout_seconds=600,
        memory_limit_mb=512,
        max_attempts=2,
    )


TASKS = (
    _probe("probe", "probe", RunsIn.PROCESS),
    _probe("probe-thread", "io", RunsIn.THREAD),
    _probe("probe-event-loop", "io", RunsIn.EVENT_LOOP),
)
