"""Queues as an operator handles them: paused, resumed, and looked at."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    ScalarSelect,
    exists,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from offload_shared.job import JobState
from offload_shared.store.clock import UtcDateTime, clock, now
from offload_shared.store.database import Database
from offload_shared.store.schema import job, queue

LONGEST_NAME = 100

_PAUSED = select(queue.c.name).where(queue.c.paused_at.is_not(None))


def of_queue_that_runs() -> ColumnElement[bool]:
    """Return the condition that a job's queue is not paused, as part of the statement that relies on it."""
    return job.c.queue.not_in(_PAUSED)


def unless_paused(name: BindParameter[str]) -> ScalarSelect[Any]:
    """Return a queue's name, and null while it is paused: then not one of its jobs is even looked at."""
    paused = exists(_PAUSED.where(queue.c.name == name))
    return select(name).where(~paused).scalar_subquery()


class QueueStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How a queue stands."""

    name: str
    paused_at: datetime | None = None  # None: it is not paused
    queued: int = 0  # jobs that are due
    scheduled: int = 0  # jobs whose time has not come, or that wait to be tried again
    running: int = 0
    oldest_due_seconds: float | None = None  # for which the job has been due that has waited longest


def statuses(database: Database, names: Collection[str]) -> list[QueueStatus]:
    """Return how these queues stand, and all others that were ever paused or have jobs that have not ended, by name.

    What waits and what runs is found by the indexes of just these, `ix_job_due` having all that is counted, and no job
    that has ended is looked at. So the cost grows with the backlog, not with the table; and a queue that only such
    jobs are known of is not found, as no index leads to it.
    """

    def work(connection: Connection) -> list[QueueStatus]:
        known: dict[str, dict[str, Any]] = {name: {} for name in names}
        for row in connection.execute(select(queue.c.name, queue.c.paused_at)):
            known.setdefault(row.name, {})["paused_at"] = row.paused_at
        for row in connection.execute(_RUNNING):
            known.setdefault(row.queue, {})["running"] = row.jobs
        for row in connection.execute(_WAITING):
            age = (row.now - row.oldest).total_seconds() if row.due else None
            known.setdefault(row.queue, {}).update(
                queued=row.due, scheduled=row.jobs - row.due, oldest_due_seconds=age and max(0.0, age)
            )
        return [QueueStatus(name=name, **found) for name, found in sorted(known.items())]

    return database.read(work)


_RUNNING = select(job.c.queue, func.count().label("jobs")).where(job.c.state == JobState.RUNNING).group_by(job.c.queue)
_WAITING = (
    select(
        job.c.queue,
        func.count().label("jobs"),
        func.count().filter(job.c.run_at <= now()).label("due"),
        func.min(job.c.run_at, type_=UtcDateTime).label("oldest"),
        now().label("now"),
    )
    .where(job.c.state == JobState.QUEUED)
    .group_by(job.c.queue)
)


def is_known(database: Database, name: str) -> bool:
    """Return whether a queue was ever paused, or has jobs that have not ended."""
    paused = select(queue.c.name).where(queue.c.name == name)
    waiting = select(job.c.id).where(job.c.state == JobState.QUEUED, job.c.queue == name)
    running = select(job.c.id).where(job.c.state == JobState.RUNNING, job.c.queue == name)
    statement = select(or_(exists(paused), exists(waiting), exists(running)))
    return bool(database.read(lambda connection: connection.execute(statement).scalar_one()))


def pause(database: Database, name: str) -> None:
    """Let no job of a queue be claimed any more; one that is paused stays so.

    A claim that was under way already may succeed still.
    """
    insert = sqlite.insert if database.sqlite else postgresql.insert
    new = insert(queue).values(name=name, paused_at=clock(), hints_dropped=False)
    change = {"paused_at": func.coalesce(queue.c.paused_at, new.excluded.paused_at), "hints_dropped": False}
    statement = new.on_conflict_do_update(index_elements=[queue.c.name], set_=change)
    database.write(lambda connection: connection.execute(statement))


def resume(database: Database, name: str) -> None:
    """Let jobs of a queue be claimed again; one that is not paused stays as it is.

    The hints that came meanwhile were dropped: `hints.hint_again` makes up for them.
    """
    change = {"paused_at": None, "resumed_at": clock(), "hints_dropped": True}
    paused = (queue.c.name == name) & queue.c.paused_at.is_not(None)
    database.write(lambda connection: connection.execute(update(queue).where(paused).values(change)))


class Interrupted(msgspec.Struct, frozen=True):
    """Queues whose hints are not where they should be."""

    paused: frozenset[str]
    resumed: frozenset[str]  # and what was dropped while they were paused is not made up for yet


def interrupted(database: Database) -> Interrupted:
    """Return the queues that are paused, or were until a moment ago: a read, cheap when there are none."""
    statement = select(queue).where(or_(queue.c.paused_at.is_not(None), queue.c.hints_dropped))
    rows = database.read(lambda connection: connection.execute(statement).all())
    return Interrupted(
        frozenset(row.name for row in rows if row.paused_at is not None),
        frozenset(row.name for row in rows if row.paused_at is None),
    )
