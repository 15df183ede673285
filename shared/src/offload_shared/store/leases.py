"""What a worker does with jobs: claims them, keeps their leases, ends them."""

from collections.abc import Collection, Mapping, Sequence

import msgspec
from sqlalchemy import Connection, Float, bindparam, or_, select, tuple_, update

from offload_shared.job import ClaimedJob, JobState, Outcome, Output, Progress, Usage
from offload_shared.store import outputs
from offload_shared.store.clock import clock, now
from offload_shared.store.database import Database
from offload_shared.store.endings import Ending, end_attempts, lock_running
from offload_shared.store.queues import of_queue_that_runs
from offload_shared.store.schema import attempt, job
from offload_shared.store.unknown import TaskVersion, of_known_task

#: An attempt of a job: what a lease is held for.
Lease = tuple[str, int]


def claim(
    database: Database, job_id: str, *, worker: str, lease_seconds: float, tasks: Collection[TaskVersion]
) -> ClaimedJob | None:
    """Take the lease of a due job of a known version of a task; None, when it is not to be had, means: drop the hint.

    A job of a paused queue is not to be had: its next hint comes when the queue is resumed.
    """
    [claimed] = claim_all(database, [job_id], worker=worker, lease_seconds=lease_seconds, tasks=tasks)
    return claimed


def claim_all(
    database: Database, job_ids: Sequence[str], *, worker: str, lease_seconds: float, tasks: Collection[TaskVersion]
) -> list[ClaimedJob | None]:
    """Take the leases of many jobs in one transaction, each as `claim` does; answers in their order."""
    lease = {"tasks": sorted(tasks), "owner": worker, "lease_seconds": lease_seconds}

    def work(connection: Connection) -> dict[str, ClaimedJob]:
        asked = sorted(set(job_ids))
        if len(asked) > 1:  # locked in one order: two that take the same would wait for each other
            asked = list(connection.execute(_LOCK_CLAIMABLE, {**lease, "asked": asked}).scalars())
        rows = connection.execute(_CLAIM, {**lease, "asked": asked}).all() if asked else []
        return {row.id: ClaimedJob(**row._mapping) for row in rows}  # noqa: SLF001 - a public method of Row

    claimed = database.write(work)
    return [claimed.pop(job_id, None) for job_id in job_ids]  # what is asked for twice is one attempt's


# These are made once: to put one together takes several times as long as to run it.
_CLAIMABLE = (
    job.c.id.in_(bindparam("asked", expanding=True))
    & (job.c.state == JobState.QUEUED)
    & (job.c.run_at <= now())
    & ~job.c.cancel_requested
    & or_(job.c.deadline_at.is_(None), job.c.deadline_at > now())
    & of_known_task()
    & of_queue_that_runs()
)
_LOCK_CLAIMABLE = select(job.c.id).where(_CLAIMABLE).order_by(job.c.id).with_for_update()
_CLAIM = (
    update(job)
    .where(_CLAIMABLE)
    .values(
        state=JobState.RUNNING,
        version=job.c.version + 1,
        attempt=job.c.attempt + 1,
        lease_owner=bindparam("owner"),
        lease_until=clock(bindparam("lease_seconds", type_=Float)),
        started_at=clock(),
        progress=None,
    )
    .returning(*[job.c[name] for name in ClaimedJob.__struct_fields__])
)


class Heartbeat(msgspec.Struct, frozen=True):
    """What the store knows of a worker's leases: those still held, and which of them are to be cancelled."""

    held: frozenset[Lease]
    cancelled: frozenset[Lease]


def heartbeat(database: Database, leases: Collection[Lease], *, lease_seconds: float) -> Heartbeat:
    """Prolong the leases of a worker in one statement; what is not held any more is fenced and must be ended."""
    held = (job.c.state == JobState.RUNNING) & tuple_(job.c.id, job.c.attempt).in_(leases)
    # Locked in one order: others of them may be ended in one transaction just now.
    locked = select(job.c.id).where(held).order_by(job.c.id).with_for_update().cte("locked")
    statement = (
        update(job)
        .where(held, job.c.id.in_(select(locked.c.id)))
        .values(lease_until=clock(lease_seconds))
        .returning(job.c.id, job.c.attempt, job.c.cancel_requested)
    )
    rows = database.write(lambda connection: connection.execute(statement).all())
    cancelled = frozenset((row.id, row.attempt) for row in rows if row.cancel_requested)
    return Heartbeat(frozenset((row.id, row.attempt) for row in rows), cancelled)


def cancellations(database: Database, worker: str) -> frozenset[Lease]:
    """Return which of a worker's leases are to be cancelled; a read of one index, cheap enough for ten a second."""
    asked = {"owner": worker}
    return database.read(
        lambda connection: frozenset((row.id, row.attempt) for row in connection.execute(_WANTED, asked))
    )


_WANTED = select(job.c.id, job.c.attempt).where(
    (job.c.lease_owner == bindparam("owner")) & (job.c.state == JobState.RUNNING) & job.c.cancel_requested
)


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
    [state] = finish_all(database, [End(lease, outcome, usage, last_words)])
    return state


class End(msgspec.Struct, frozen=True):
    """How an attempt has ended; `last_words` is what of its output is not stored yet."""

    lease: Lease
    outcome: Outcome
    usage: Usage
    last_words: Output | None = None


def finish_all(database: Database, ends: Sequence[End]) -> list[JobState | None]:
    """End many attempts in one transaction, each as `finish` does; answers in their order."""

    def work(connection: Connection) -> list[JobState | None]:
        running = lock_running(connection, [end.lease for end in ends])
        for end in ends:
            if end.last_words and end.lease in running:
                outputs.write(connection, end.lease, end.last_words)
        mine = [end for end in ends if end.lease in running]
        moved = end_attempts(connection, [Ending(running[end.lease], end.outcome, end.usage) for end in mine])
        states = {end.lease: state for end, state in zip(mine, moved, strict=True)}
        return [states.get(end.lease) or _ended_before(connection, end.lease, end.outcome) for end in ends]

    return database.write(work)


def _ended_before(connection: Connection, lease: Lease, outcome: Outcome) -> JobState | None:
    job_id, number = lease
    mine = (attempt.c.job_id == job_id) & (attempt.c.number == number)
    recorded = connection.execute(select(attempt.c.outcome).where(mine)).scalar_one_or_none()
    if recorded != type(outcome).__name__.lower():
        return None
    return JobState(connection.execute(select(job.c.state).where(job.c.id == job_id)).scalar_one())
