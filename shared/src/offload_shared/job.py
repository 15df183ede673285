"""A job's states, how an attempt can end, and what everybody is shown of a job."""

from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec


class JobState(StrEnum):
    """Where a job stands; the arrows are the only moves there are.

    A final state never changes. Of a queued job a client sees `scheduled` while its time has not come, and `waiting`
    while others of its flow come before it.
    """

    QUEUED = "queued"  # -> running, cancelled, failed (expired)
    RUNNING = "running"  # -> succeeded, failed, cancelled, queued (retry, lost or released)
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether the job has ended for good."""
        return self not in (JobState.QUEUED, JobState.RUNNING)


class Failure(StrEnum):
    """Why a job failed, or an attempt of it."""

    ERROR = "error"  # the handler raised
    REJECTED = "rejected"  # the handler refused the input; trying again would not help
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"
    CRASHED = "crashed"  # the child died: a signal or an exit code
    LOST = "lost"  # the worker went silent past its lease
    EXPIRED = "expired"  # the deadline passed before the job started
    CPU_EXCEEDED = "cpu_exceeded"
    RESULT_TOO_LARGE = "result_too_large"
    DEPENDENCY = "dependency"  # a job of its flow that it was to follow did not succeed


class Usage(msgspec.Struct, frozen=True):
    """What an attempt took: seconds of wall clock and of processor, and megabytes at its peak where known."""

    wall_seconds: float = 0.0
    cpu_seconds: float | None = None
    peak_memory_mb: float | None = None


class StoredFile(msgspec.Struct, frozen=True):
    """A file in the artifact storage: where it lies there, and what it is."""

    key: str
    name: str
    media_type: str
    size: int  # bytes
    sha256: str


class Succeeded(msgspec.Struct, frozen=True, tag="succeeded"):
    """The handler returned; `result` is JSON of the task's result type."""

    result: bytes
    artifacts: tuple[StoredFile, ...] = ()


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The attempt ended badly; `detail` is a sentence for the client."""

    failure: Failure
    detail: str


class Cancelled(msgspec.Struct, frozen=True, tag="cancelled"):
    """The attempt was ended because the client asked for it."""


class Released(msgspec.Struct, frozen=True, tag="released"):
    """The worker gave the job back untouched by any fault of it, to shut down."""


#: How an attempt ends. A value, not an exception: every ending is expected somewhere.
Outcome = Succeeded | Failed | Cancelled | Released


class IfFailed(StrEnum):
    """What becomes of a job of a flow when one that it was to follow has not succeeded."""

    SKIP = "skip"  # it is cancelled
    FAIL = "fail"  # it fails, too
    RUN = "run"  # it runs all the same


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A job's place in a flow."""

    flow_id: str
    name: str  # the job's within the flow
    after: tuple[str, ...] = ()  # ids of the jobs it follows
    if_failed: IfFailed = IfFailed.SKIP


class NewJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job as it is submitted; `payload` is JSON, already validated against the task's type."""

    id: str
    task: str
    queue: str
    payload: str
    timeout_seconds: float
    memory_limit_mb: int
    max_attempts: int
    task_version: int = 1
    priority: int = 0
    cpu_limit_seconds: float | None = None
    delay_seconds: float = 0.0
    run_at: datetime | None = None
    deadline_at: datetime | None = None
    tenant: str = ""
    idempotency_key: str | None = None
    fingerprint: str | None = None  # of the submitted body, to tell a repeat from a reused key
    tags: tuple[str, ...] = ()
    parent_id: str | None = None  # the job that this one is a retry of
    result_ttl_seconds: float | None = None
    schedule_id: str | None = None  # the schedule that adds it
    callback_url: str | None = None  # who is told of its end
    step: Step | None = None  # its place in a flow


class ClaimedJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job that this worker holds the lease of; `attempt` fences everything it writes about it."""

    id: str
    attempt: int
    task: str
    payload: str
    tenant: str
    timeout_seconds: float
    memory_limit_mb: int
    cpu_limit_seconds: float | None
    checkpoint: str | None = None  # JSON of the `StoredFile` with the state that an earlier attempt has saved


class Hint(msgspec.Struct, frozen=True):
    """What a message says: that this job may be due. Nothing else of it is trusted."""

    job_id: str
    queue: str
    priority: int = 0


class Progress(msgspec.Struct, frozen=True):
    """How far a running attempt says it is."""

    percent: float  # 0 to 100
    message: str = ""


class Output(msgspec.Struct, frozen=True):
    """A part of what an attempt has printed and logged: its bytes, and how many came before them."""

    start: int
    content: bytes

    @property
    def end(self) -> int:
        """How many bytes there were when the last of these had come."""
        return self.start + len(self.content)


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """An ended attempt."""

    number: int
    outcome: str
    worker: str
    started_at: datetime
    finished_at: datetime
    failure: Failure | None
    detail: str | None
    wall_seconds: float
    cpu_seconds: float | None
    peak_memory_mb: float | None


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A job as it stands in the store; `version` grows with each change of it."""

    id: str
    task: str
    queue: str
    state: JobState
    version: int
    priority: int
    attempt: int
    max_attempts: int
    timeout_seconds: float
    memory_limit_mb: int
    cpu_limit_seconds: float | None
    created_at: datetime
    run_at: datetime
    now: datetime  # the store's clock when the job was read: only it is compared with the other times
    deadline_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    cancel_requested: bool
    worker: str | None
    progress: Progress | None
    failure: Failure | None
    detail: str | None
    attempts: list[Attempt]
    artifacts: list[StoredFile]
    tags: tuple[str, ...] = ()
    parent_id: str | None = None
    result_ttl_seconds: float | None = None
    expires_at: datetime | None = None
    schedule_id: str | None = None
    callback_url: str | None = None
    flow_id: str | None = None
    step: str | None = None  # its name within the flow
    waits_for: int = 0  # so many jobs of the flow: until they have ended, `run_at` says nothing

    @property
    def shown_state(self) -> str:
        """The state a client sees."""
        if self.state is not JobState.QUEUED:
            return self.state.value
        if self.waits_for:
            return "waiting"
        return "scheduled" if self.run_at > self.now else self.state.value


def error_body(failure: Failure, detail: str) -> dict[str, Any]:
    """Return the problem object that tells a client how a job failed (RFC 9457)."""
    return {"type": f"/problems/job-{failure.value.replace('_', '-')}", "title": TITLES[failure], "detail": detail}


TITLES = {
    Failure.ERROR: "The task's handler failed",
    Failure.REJECTED: "The task refused its input",
    Failure.TIMEOUT: "The job ran out of time",
    Failure.OUT_OF_MEMORY: "The job ran out of memory",
    Failure.CPU_EXCEEDED: "The job used up its processor time",
    Failure.CRASHED: "The job's process crashed",
    Failure.LOST: "The job's workers were lost",
    Failure.EXPIRED: "The job's deadline passed before it started",
    Failure.RESULT_TOO_LARGE: "The job's result is too large",
    Failure.DEPENDENCY: "A job that this one was to follow did not succeed",
}
