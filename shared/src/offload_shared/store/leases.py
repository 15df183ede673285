"""What a worker does with jobs: claims them, keeps their leases, ends them."""

from collections.abc import Collection, Mapping

import msgspec
from sqlalchemy import Connection, bindparam, or_, select, tuple_, update

from offload_shared.job import ClaimedJob, JobState, Outcome, Output, Progress, Usage
from offload_shared.store import outputs
from offload_shared.store.clock import clock, now
from offload_shared.store.database import Database
from offload_shared.store.endings import end_attempt, lock_running
from offload_shared.store.queues import of_queue_that_runs
from offload_shared.store.schema import attempt, job

#: An attempt of a job: what a lease is held for.
Lease = tuple[str, int]


def claim(
    database: Database, job_id: str, *, worker: str, lease_seconds: float, tasks: Collection[str]
) -> ClaimedJob | None:
    """Take the lease of a due job of a known task; None, when it is not to be had, means: drop the hint.

    A job of a paused queue is not to be had: its next hint comes when the queue is resumed.
    """
    claimable = (
        (job.c.id == job_id)
        & (job.c.state == JobState.QUEUED)
        & (job.c.run_at <= now())
        & ~job.c.cancel_requested
        & or_(job.c.deadline_at.is_(None), job.c.deadline_at > now())
        & job.c.task.in_(tasks)
        & of_queue_that_runs()
    )
    change = {
        "state": JobState.RUNNING,
        "version": job.c.version + 1,
        "attempt": job.c.attempt + 1,
        "lease_owner": worker,
        "lease_until": clock(lease_seconds),
        "started_at": clock(),
        "progress": None,
    }
    columns = [job.c[name] for name in ClaimedJob.__struct_fields__]
    statement = update(job).where(claimable).values(change).returning(*columns)
    row = database.write(lambda connection: connection.execute(statement).one_or_none())
    return ClaimedJob(**row._mapping) if row else None  # noqa: SLF001 - a public method of SQLAlchemy's Row


class Heartbeat(msgspec.Struct, frozen=True):
    """What the store knows of a worker's leases: those still held, and which of them are to be cancelled."""

    held: frozenset[Lease]
    cancelled: frozenset[Lease]


def heartbeat(database: Database, leases: Collection[Lease], *, lease_seconds: float) -> Heartbeat:
    """Prolong the leases of a worker in one statement; what is not held any more is fenced and must be ended."""
    held = (job.c.state == JobState.RUNNING) & tuple_(job.c.id, job.c.attempt).in_(leases)
    statement = (
        update(job)
        .where(held)
        .values(lease_until=clock(lease_seconds))
        .returning(job.c.id, job.c.attempt, job.c.cancel_requested)
    )
    rows = database.write(lambda connection: connection.execute(statement).all())
    cancelled = frozenset((row.id, row.attempt) for row in rows if row.cancel_requested)
    return Heartbeat(frozenset((row.id, row.attempt) for row in rows), cancelled)


def cancellations(database: Database, worker: str) -> frozenset[Lease]:
    """Return which of a worker's leases are to be cancelled; a read of one index, cheap enough for ten a second."""
    wanted = (job.c.lease_owner == worker) & (job.c.state == JobState.RUNNING) & job.c.cancel_requested
    statement = select(job.c.id, job.c.attempt).where(wanted)
    return database.read(lambda connection: frozenset((row.id, row.attempt) for row in connection.execute(statement)))


def report(database: Database, progress: Mapping[Lease, Progress]) -> None:
    """Store how far these attempts are; a stale attempt's report changes nothing."""
    mine = (
        (job.c.id == bindparam("job_id")) & (job.c.attempt == bindparam("number")) & (job.c.state == JobState.RUNNING)
    )
    statement = update(job).where(mine).values(progress=bindparam("reported"), version=job.c.version + 1)
    rows = [
        {"job_id": job_id, "number": number, "reported": msgspec.json.encode(each).decode()}
        for (job_id, number), each in sorted(progress.items())  # sorted: two workers never lock in opposite order
    ]
    database.write(lambda connection: connection.execute(statement, rows))


def finish(
    database: Database, lease: Lease, outcome: Outcome, usage: Usage, last_words: Output | None = None
) -> JobState | None:
    """End an attempt; returns the job's new state, or None when the attempt was fenced and its outcome refused.

    `last_words` is what of its output is not stored yet.

    Safe to repeat when the store's answer was lost: an attempt that has ended so already answers the same again.
    """

    def work(connection: Connection) -> JobState | None:
        running = lock_running(connection, *lease)
        if running is None:
            return _ended_before(connection, lease, outcome)
        if last_words:
            outputs.write(connection, lease, last_words)
        return end_attempt(connection, running, outcome, usage)

    return database.write(work)


def _ended_before(connection: Connection, lease: Lease, outcome: Outcome) -> JobState | None:
    job_id, number = lease
    mine = (attempt.c.job_id == job_id) & (attempt.c.number == number)
    recorded = connection.execute(select(attempt.c.outcome).where(mine)).scalar_one_or_none()
    if recorded != type(outcome).__name__.lower():
        return None
    return JobState(connection.execute(select(job.c.state).where(job.c.id == job_id)).scalar_one())
