"""Jobs that go: deleted by their client, or kept for no longer than was asked for."""

from collections.abc import Sequence
from datetime import timedelta
from enum import Enum
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from offload_shared.job import JobState
from offload_shared.store import deliveries, steps
from offload_shared.store.clock import clock, now
from offload_shared.store.database import Database
from offload_shared.store.recovery import BATCH, is_any
from offload_shared.store.schema import gone, job

#: For so long it is remembered that a job was there, and is expired.
REMEMBERED = timedelta(days=30)


class DeleteAnswer(Enum):
    """What a request to delete a job met."""

    DELETED = "deleted"
    NOT_FOUND = "not_found"
    NOT_FINAL = "not_final"
    NEEDED = "needed"  # by a job of its flow that waits
    NOT_TOLD = "not_told"  # what is to be told of its end has to be made first, while the job is there


def delete_job(database: Database, job_id: str, *, tenant: str = "") -> DeleteAnswer:
    """Remove a job that has ended, with its attempts and their output; its files are left to whoever collects them."""

    def work(connection: Connection) -> DeleteAnswer:
        mine = (job.c.id == job_id) & (job.c.tenant == tenant)
        row = connection.execute(select(job.c.id, job.c.tenant, job.c.state).where(mine).with_for_update()).first()
        if row is None:
            return DeleteAnswer.NOT_FOUND
        if not JobState(row.state).final:
            return DeleteAnswer.NOT_FINAL
        if steps.is_needed(connection, job_id):
            return DeleteAnswer.NEEDED
        if deliveries.is_unmade(connection, job_id):
            return DeleteAnswer.NOT_TOLD
        _remove(connection, [row], expired=False)
        return DeleteAnswer.DELETED

    return database.write(work)


def expire(database: Database) -> int:
    """Remove jobs that have been kept for as long as was asked for, a batch of them; returns how many."""
    over = (job.c.expires_at <= now(), ~deliveries.unmade(), ~steps.needed())

    def work(connection: Connection) -> int:
        due = select(job.c.id, job.c.tenant).where(*over).limit(BATCH)
        rows = connection.execute(due.with_for_update(of=job, skip_locked=True)).all()
        if rows:
            _remove(connection, rows, expired=True)
        return len(rows)

    return database.write(work) if is_any(database, *over) else 0


def _remove(connection: Connection, rows: Sequence[Any], *, expired: bool) -> None:
    marks = {"gone_at": clock(), "expired": expired, "collected": False}
    connection.execute(insert(gone).values(marks), [{"job_id": row.id, "tenant": row.tenant} for row in rows])
    connection.execute(delete(job).where(job.c.id.in_([row.id for row in rows])))


def has_expired(database: Database, job_id: str, *, tenant: str = "") -> bool:
    """Return whether the tenant had a job of this id which was kept for as long as was asked for."""
    statement = select(gone.c.job_id).where(gone.c.job_id == job_id, gone.c.tenant == tenant, gone.c.expired)
    return database.read(lambda connection: connection.execute(statement).first()) is not None


def forget(database: Database) -> int:
    """Remember no longer that jobs were there which went long ago, a batch of them; returns how many."""
    # A moment that is known is looked up in the index, a moving clock is not.
    long_ago = database.read(lambda connection: connection.execute(select(now())).scalar_one())
    old = select(gone.c.job_id).where(gone.c.collected, gone.c.gone_at < long_ago - REMEMBERED).limit(BATCH)
    if not (job_ids := database.read(lambda connection: connection.execute(old).scalars().all())):
        return 0
    database.write(lambda connection: connection.execute(delete(gone).where(gone.c.job_id.in_(job_ids))))
    return len(job_ids)
