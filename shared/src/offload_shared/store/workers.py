"""Which workers there are: a row each, written by itself."""

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from offload_shared.job import JobState
from offload_shared.store.clock import clock, now
from offload_shared.store.database import Database
from offload_shared.store.schema import job, worker
from offload_shared.store.unknown import TaskVersion

#: Of the jobs that a worker runs so many are told, those that have run for longest.
MOST_JOBS = 100


class Presence(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker says of itself."""

    name: str
    host: str
    pid: int
    version: str
    slots: dict[str, int]  # of each queue that it takes jobs from
    draining: bool = False
    paused: str | None = None  # why it takes no jobs for a while
    unknown: tuple[TaskVersion, ...] = ()  # of which jobs wait in its queues, for a worker that knows them


class RunningJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job in the hands of a worker."""

    id: str
    task: str
    queue: str
    attempt: int
    started_at: datetime
    cancel_requested: bool


class LiveWorker(msgspec.Struct, frozen=True, kw_only=True):
    """A worker that was heard of within its lease, and what it runs."""

    presence: Presence
    started_at: datetime
    seen_at: datetime
    running: int
    jobs: list[RunningJob]  # at most `MOST_JOBS` of them, the oldest first


def announce(database: Database, presence: Presence, *, lease_seconds: float) -> None:
    """Say that a worker is there, for the length of a lease; and forget those that have been silent for longer."""
    insert = sqlite.insert if database.sqlite else postgresql.insert
    said = msgspec.structs.asdict(presence)
    said |= {name: msgspec.json.encode(said[name]).decode() for name in ("slots", "unknown")}
    times = {"seen_at": clock(), "lost_at": clock(lease_seconds)}
    new = insert(worker).values(**said, **times, started_at=clock())
    statement = new.on_conflict_do_update(index_elements=[worker.c.name], set_=said | times)

    def work(connection: Connection) -> None:
        connection.execute(statement)
        # Skipping what others lock: two workers that forget the same ones would wait for each other.
        silent = select(worker.c.name).where(worker.c.lost_at < now()).with_for_update(skip_locked=True)
        connection.execute(delete(worker).where(worker.c.name.in_(silent)))

    database.write(work)


def leave(database: Database, name: str) -> None:
    """Say that a worker has ended."""
    database.write(lambda connection: connection.execute(delete(worker).where(worker.c.name == name)))


def live(database: Database) -> list[LiveWorker]:
    """Return the workers that were heard of within their lease, by name, each with the jobs whose lease it holds."""

    def work(connection: Connection) -> list[LiveWorker]:
        rows = connection.execute(select(worker).where(worker.c.lost_at > now()).order_by(worker.c.name)).all()
        jobs = _jobs(connection, [row.name for row in rows]) if rows else {}
        return [_live(row, jobs.get(row.name, [])) for row in rows]

    return database.read(work)


def _jobs(connection: Connection, names: list[str]) -> dict[str, list[Any]]:
    mine: dict[str, Any] = {"partition_by": job.c.lease_owner}
    place = func.row_number().over(order_by=(job.c.started_at, job.c.id), **mine).label("place")
    count = func.count().over(**mine).label("count")
    told = (job.c.lease_owner, job.c.id, job.c.task, job.c.queue, job.c.attempt, job.c.started_at)
    held = select(*told, job.c.cancel_requested, place, count).where(
        job.c.state == JobState.RUNNING, job.c.lease_owner.in_(names)
    )
    first = held.subquery()
    found: dict[str, list[Any]] = {}
    for row in connection.execute(select(first).where(first.c.place <= MOST_JOBS).order_by(first.c.place)):
        found.setdefault(row.lease_owner, []).append(row)
    return found


def _live(row: Any, jobs: list[Any]) -> LiveWorker:
    slots = msgspec.json.decode(row.slots, type=dict[str, int])
    unknown = msgspec.json.decode(row.unknown or "[]", type=tuple[TaskVersion, ...])
    presence = {name: getattr(row, name) for name in Presence.__struct_fields__}
    return LiveWorker(
        presence=Presence(**presence | {"slots": slots, "unknown": unknown}),
        started_at=row.started_at,
        seen_at=row.seen_at,
        running=jobs[0].count if jobs else 0,
        jobs=[RunningJob(**{name: getattr(each, name) for name in RunningJob.__struct_fields__}) for each in jobs],
    )
