"""Lists jobs, the newest first, a page at a time."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Select, func, select

from offload_shared.job import Job, JobState
from offload_shared.store.clock import clock, now
from offload_shared.store.database import Database
from offload_shared.store.jobs import as_job
from offload_shared.store.schema import job, tag

#: Between the clock of an API process, which ids begin with, and the store's.
MOST_SKEW_SECONDS = 3600

_JOBS = select(job, clock().label("now"))


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which jobs are listed: those of which all of this holds."""

    tenant: str = ""
    state: str | None = None  # as clients see it: `scheduled` and `waiting` are told apart from `queued`
    task: str | None = None
    queue: str | None = None
    tag: str | None = None
    created_after: datetime | None = None
    schedule_id: str | None = None
    flow_id: str | None = None


def page(database: Database, wanted: Wanted, *, size: int, older_than: str | None = None) -> list[Job]:
    """Return up to `size` jobs, without their attempts and artifacts, that are older than the one of this id.

    Ids begin with the time they were made at. So what is added while somebody pages through moves no page.
    """
    older = [job.c.id < older_than] if older_than is not None else []
    statement = _JOBS.where(*_conditions(wanted), *older).order_by(job.c.tenant.desc(), job.c.id.desc()).limit(size)
    return _bare(database, statement)


def named(database: Database, job_ids: Sequence[str], *, tenant: str = "") -> list[Job]:
    """Return the jobs of these ids, without their attempts and artifacts, in no order."""
    return _bare(database, _JOBS.where(job.c.tenant == tenant, job.c.id.in_(job_ids)))


def _bare(database: Database, statement: Select[Any]) -> list[Job]:
    return database.read(lambda connection: [as_job(row, [], []) for row in connection.execute(statement)])


def _conditions(wanted: Wanted) -> Iterator[ColumnElement[bool]]:
    yield job.c.tenant == wanted.tenant
    if wanted.state is not None:
        yield _in_state(wanted.state)
    for name in ("task", "queue", "schedule_id", "flow_id"):
        if (value := getattr(wanted, name)) is not None:
            yield job.c[name] == value
    if wanted.tag is not None:
        yield job.c.id.in_(select(tag.c.job_id).where(tag.c.name == wanted.tag))
    if wanted.created_after is not None:
        # By an index as well: what was made long before cannot have been added after.
        milliseconds = max(0, int((wanted.created_after.timestamp() - MOST_SKEW_SECONDS) * 1000))
        yield job.c.id > f"{milliseconds:012x}"
        yield job.c.created_at > wanted.created_after


def _in_state(state: str) -> ColumnElement[bool]:
    if state == "waiting":
        return (job.c.state == JobState.QUEUED) & (job.c.waits_for > 0)
    if state == "scheduled":
        return (job.c.state == JobState.QUEUED) & (job.c.run_at > now()) & (func.coalesce(job.c.waits_for, 0) == 0)
    if state == "queued":
        return (job.c.state == JobState.QUEUED) & (job.c.run_at <= now())
    return job.c.state == state
