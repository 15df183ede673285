"""Jobs, tasks and files as clients see them."""

from datetime import datetime
from typing import Annotated, Any, Literal, cast
from urllib.parse import quote

import msgspec
from msgspec import Meta

from offload_shared.job import Attempt, Failure, Job, JobState, Progress, StoredFile, error_body

ShownState = Literal["waiting", "scheduled", "queued", "running", "succeeded", "failed", "cancelled"]


class JobError(msgspec.Struct, frozen=True):
    """How a job or an attempt of it failed: a problem object (RFC 9457)."""

    type: str
    title: str
    detail: str


class AttemptView(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt that has ended."""

    number: int
    outcome: Literal["succeeded", "failed", "cancelled", "released"]
    failure: Failure | None
    started_at: datetime
    finished_at: datetime
    wall_seconds: float
    cpu_seconds: float | None
    peak_memory_mb: float | None
    error: JobError | None


class ArtifactView(msgspec.Struct, frozen=True, kw_only=True):
    """A file that a job left behind."""

    name: str
    media_type: str
    size: int
    sha256: str
    href: str


class JobLinks(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where to go from here; a link that leads nowhere now is left out."""

    self: str
    output: str | None = None
    result: str | None = None
    events: str | None = None
    cancel: str | None = None
    retry: str | None = None
    parent: str | None = None
    schedule: str | None = None
    flow: str | None = None


class JobSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A job in a list."""

    id: str
    task: str
    state: ShownState
    attempt: int
    priority: int
    tags: list[str]
    schedule_id: str | None
    flow_id: str | None
    step: str | None
    created_at: datetime
    run_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    progress: Progress | None
    error: JobError | None
    links: JobLinks


class JobList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of jobs, the newest first; `next_page_token` is null on the last."""

    jobs: list[JobSummary]
    next_page_token: str | None


class JobBatch(msgspec.Struct, frozen=True):
    """Jobs that were submitted together, in the order they were submitted in."""

    jobs: list[JobSummary]


class JobView(msgspec.Struct, frozen=True, kw_only=True):
    """A job."""

    id: str
    task: str
    state: ShownState
    attempt: int
    max_attempts: int
    priority: int
    created_at: datetime
    run_at: Annotated[datetime | None, Meta(description="Null while others of its flow come before it.")]
    deadline: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    timeout_seconds: float
    memory_limit_mb: int
    cpu_limit_seconds: float | None
    cancel_requested: bool
    progress: Progress | None
    error: JobError | None
    attempts: list[AttemptView]
    artifacts: list[ArtifactView]
    tags: list[str]
    parent_id: str | None
    schedule_id: str | None
    flow_id: str | None
    step: Annotated[str | None, Meta(description="The job's name within its flow.")]
    callback_url: str | None
    result_ttl_seconds: float | None
    expires_at: datetime | None
    links: JobLinks


def job_path(job_id: str) -> str:
    """Return the address of a job."""
    return f"/v1/jobs/{job_id}"


def schedule_path(schedule_id: str) -> str:
    """Return the address of a schedule."""
    return f"/v1/schedules/{schedule_id}"


def flow_path(flow_id: str) -> str:
    """Return the address of a flow."""
    return f"/v1/flows/{flow_id}"


def job_view(job: Job) -> JobView:
    """Return what a client is shown of a job."""
    return JobView(
        id=job.id,
        task=job.task,
        state=cast("ShownState", job.shown_state),
        attempt=job.attempt,
        max_attempts=job.max_attempts,
        priority=job.priority,
        created_at=job.created_at,
        run_at=None if job.waits_for else job.run_at,
        deadline=job.deadline_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        timeout_seconds=job.timeout_seconds,
        memory_limit_mb=job.memory_limit_mb,
        cpu_limit_seconds=job.cpu_limit_seconds,
        cancel_requested=job.cancel_requested,
        progress=job.progress,
        error=_error(job.failure, job.detail) if _tells_why(job) else None,
        attempts=[_attempt(each) for each in job.attempts],
        artifacts=[_artifact(job, each) for each in job.artifacts],
        tags=list(job.tags),
        parent_id=job.parent_id,
        schedule_id=job.schedule_id,
        flow_id=job.flow_id,
        step=job.step,
        callback_url=job.callback_url,
        result_ttl_seconds=job.result_ttl_seconds,
        expires_at=job.expires_at,
        links=_links(job),
    )


def job_summary(job: Job) -> JobSummary:
    """Return what a client is shown of a job in a list."""
    whole = job_view(job)
    return JobSummary(**{name: getattr(whole, name) for name in JobSummary.__struct_fields__})


def _tells_why(job: Job) -> bool:
    # Of a cancelled job only where its client has not cancelled it.
    return job.state is JobState.FAILED or (job.state is JobState.CANCELLED and job.failure is Failure.DEPENDENCY)


def _error(failure: Failure | None, detail: str | None) -> JobError | None:
    return JobError(**error_body(failure, detail or "")) if failure else None


def _attempt(attempt: Attempt) -> AttemptView:
    return AttemptView(
        number=attempt.number,
        outcome=cast("Any", attempt.outcome),
        failure=attempt.failure,
        started_at=attempt.started_at,
        finished_at=attempt.finished_at,
        wall_seconds=attempt.wall_seconds,
        cpu_seconds=attempt.cpu_seconds,
        peak_memory_mb=attempt.peak_memory_mb,
        error=_error(attempt.failure, attempt.detail),
    )


def _artifact(job: Job, stored: StoredFile) -> ArtifactView:
    return ArtifactView(
        name=stored.name,
        media_type=stored.media_type,
        size=stored.size,
        sha256=stored.sha256,
        href=f"{job_path(job.id)}/artifacts/{quote(stored.name, safe='')}",
    )


def _links(job: Job) -> JobLinks:
    here = job_path(job.id)
    return JobLinks(
        self=here,
        output=f"{here}/output" if job.attempt else None,
        result=f"{here}/result" if job.state is JobState.SUCCEEDED else None,
        events=None if job.state.final else f"{here}/events",
        cancel=None if job.state.final else f"{here}/cancel",
        retry=f"{here}/retry" if job.state.final else None,
        parent=job_path(job.parent_id) if job.parent_id else None,
        schedule=schedule_path(job.schedule_id) if job.schedule_id else None,
        flow=flow_path(job.flow_id) if job.flow_id else None,
    )
