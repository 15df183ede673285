"""A recurring schedule, and what comes of each of its times."""

from datetime import datetime
from enum import StrEnum

import msgspec

from offload_shared.job import NewJob


class Missed(StrEnum):
    """What becomes of times at which nobody was there to add a job."""

    SKIP = "skip"  # nothing
    RUN_ONCE = "run_once"  # one job for all of them


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What the client decides of a schedule."""

    job: str  # JSON: the body of each job, as it was submitted
    cron: str
    timezone: str
    missed: Missed
    paused: bool
    name: str | None = None


class NewSchedule(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule as it is submitted, already validated."""

    id: str
    plan: Plan
    tenant: str = ""
    idempotency_key: str | None = None
    fingerprint: str | None = None  # of the submitted body, to tell a repeat from a reused key


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule as it stands in the store; `version` grows with each change of it."""

    id: str
    tenant: str
    plan: Plan
    version: int
    created_at: datetime
    next_run_at: datetime | None  # None: never again; the past: its time has come, or came while it was paused
    last_run_at: datetime | None
    last_job_id: str | None
    error: str | None  # JSON: the problem that kept the last time from adding a job


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """What comes of a time that has come: a job, or none, and when the schedule's turn is next."""

    job: NewJob | None
    next_run_at: datetime | None
    error: str | None = None
