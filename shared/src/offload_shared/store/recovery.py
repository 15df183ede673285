"""What the sweeper does, on any node, with no leader: ends what nobody will end."""

from sqlalchemy import ColumnElement, Connection, select, update

from offload_shared.job import Failed, Failure, JobState, Usage
from offload_shared.store import deliveries, leftovers, steps
from offload_shared.store.clock import clock, now
from offload_shared.store.database import Database
from offload_shared.store.endings import Ending, end_attempts, finished_now
from offload_shared.store.schema import job

BATCH = 100


def end_lost(database: Database) -> int:
    """End attempts whose lease is over, a batch of them, so that their jobs run again or fail; returns how many."""

    def work(connection: Connection) -> int:
        over = (job.c.state == JobState.RUNNING) & (job.c.lease_until < now())
        lost = select(job, deliveries.heard(), clock().label("now")).where(over).limit(BATCH)
        rows = connection.execute(lost.with_for_update(of=job, skip_locked=True)).all()
        outcome = Failed(Failure.LOST, "the worker went silent past its lease")
        usages = [Usage(wall_seconds=(row.now - row.started_at).total_seconds()) for row in rows]
        end_attempts(connection, [Ending(row, outcome, usage) for row, usage in zip(rows, usages, strict=True)])
        return len(rows)

    return database.write(work) if is_any(database, job.c.state == JobState.RUNNING, job.c.lease_until <= now()) else 0


def fail_expired(database: Database) -> int:
    """Fail queued jobs whose deadline has passed, a batch of them; returns how many."""
    overdue = (job.c.state == JobState.QUEUED) & (job.c.deadline_at <= now())
    due = select(job.c.id).where(overdue).limit(BATCH).with_for_update(skip_locked=True).cte("due")
    change = {
        "state": JobState.FAILED,
        "version": job.c.version + 1,
        **finished_now(),
        "failure": Failure.EXPIRED,
        "detail": "the job had not started by its deadline",
    }
    of_them = update(job).where(job.c.id.in_(select(due.c.id))).values(change)
    statement = of_them.returning(job.c.id, job.c.tenant, job.c.attempt, job.c.callback_url, job.c.flow_id)

    def work(connection: Connection) -> int:
        rows = connection.execute(statement).all()
        leftovers.note(connection, [row.id for row in rows if row.attempt])
        if rows:
            deliveries.add_of(connection, rows, JobState.FAILED)
        steps.note_ends(connection, rows)
        return len(rows)

    if not is_any(database, job.c.state == JobState.QUEUED, job.c.deadline_at <= now()):
        return 0
    return database.write(work)


def is_any(database: Database, *conditions: ColumnElement[bool]) -> bool:
    """Say whether there is a job of which this holds.

    Looked up without a transaction, before one is begun: SQLite has one writer, and mostly there is nothing to do.
    """
    statement = select(job.c.id).where(*conditions).limit(1)
    return database.read(lambda connection: connection.execute(statement).first()) is not None
