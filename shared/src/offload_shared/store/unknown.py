"""Jobs that wait in a queue for a worker that knows their task, or their version of it."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, String, bindparam, or_, select, tuple_, update

from offload_shared.job import JobState
from offload_shared.store.clock import clock, now
from offload_shared.store.database import Database
from offload_shared.store.schema import job

#: A task's name, and a version of it.
TaskVersion = tuple[str, int]

#: So many jobs of a queue are looked at, those that are next: what nobody takes ends up among them.
LOOKED_AT = 1000
#: A hint at one of them is repeated after so long, for a worker may come that knows it.
REPEAT_SECONDS = 60


def of_known_task() -> ColumnElement[bool]:
    """Return the condition that a job's version of its task is one of the parameter `tasks`."""
    return tuple_(job.c.task, job.c.task_version).in_(bindparam("tasks", expanding=True))


def waiting() -> ColumnElement[bool]:
    """Return the condition that a job is due, and waits for a worker."""
    # A job past its deadline waits for nobody: the sweeper fails it.
    in_time = or_(job.c.deadline_at.is_(None), job.c.deadline_at > now())
    return (job.c.state == JobState.QUEUED) & (job.c.run_at <= now()) & in_time


def leave_for_others(database: Database, names: Sequence[str], tasks: Collection[TaskVersion]) -> list[TaskVersion]:
    """Return of which tasks, and versions, jobs wait at the head of these queues that are none of `tasks`.

    Hints at them, which are dropped here, are repeated once a minute, and not ever more seldom.
    """
    found = database.read(lambda connection: [row for name in names for row in _unknown(connection, name, tasks)])
    rare = [row.id for row in found if row.dispatches > 1]
    if rare:
        mine = job.c.id.in_(rare) & (job.c.state == JobState.QUEUED)
        soon = {"publish_after": clock(REPEAT_SECONDS), "dispatches": 1}
        database.write(lambda connection: connection.execute(update(job).where(mine).values(soon)))
    return sorted({(row.task, row.task_version) for row in found})


def _unknown(connection: Connection, name: str, tasks: Collection[TaskVersion]) -> Sequence[Row[Any]]:
    return connection.execute(_UNKNOWN, {"wanted": name, "tasks": sorted(tasks)}).all()


_head = (
    select(job.c.id, job.c.task, job.c.task_version, job.c.dispatches)
    .where(waiting() & (job.c.queue == bindparam("wanted", type_=String)))
    .order_by(job.c.priority.desc(), job.c.run_at)
    .limit(LOOKED_AT)
    .subquery()
)
_UNKNOWN = select(_head).where(tuple_(_head.c.task, _head.c.task_version).not_in(bindparam("tasks", expanding=True)))
