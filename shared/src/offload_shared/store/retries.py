"""Runs jobs that have ended again, as new ones."""

from collections.abc import Callable
from enum import Enum
from typing import Any

from sqlalchemy import Connection, Row, select

from offload_shared.job import JobState, NewJob
from offload_shared.store.database import Database
from offload_shared.store.jobs import Added, add_in, tags_of
from offload_shared.store.schema import job


class RetryRefusal(Enum):
    """Why a job cannot be retried."""

    NOT_FOUND = "not_found"
    NOT_FINAL = "not_final"
    NOT_WHOLE = "not_whole"  # it has ended before what it was to take from other jobs of its flow was there


def retry(
    database: Database,
    job_id: str,
    *,
    new_id: str,
    renewed: Callable[[NewJob], NewJob],
    tenant: str = "",
    idempotency_key: str | None = None,
    max_queued: int = 0,
) -> tuple[NewJob, Added] | RetryRefusal:
    """Add a job with the payload and the options of one that has ended, its times excepted.

    `renewed` brings what was right for the old job up to date; what it raises passes through. A repeat with the same
    key is answered also when the old job is not there any more.
    """

    def work(connection: Connection) -> tuple[NewJob, Added] | RetryRefusal:
        mine = (job.c.id == job_id) & (job.c.tenant == tenant)
        row = connection.execute(select(job).where(mine)).one_or_none()
        if row is None:
            return _retried_before(connection, job_id, tenant, idempotency_key) or RetryRefusal.NOT_FOUND
        if not JobState(row.state).final:
            return RetryRefusal.NOT_FINAL
        if row.waits_for:
            return RetryRefusal.NOT_WHOLE
        new = renewed(_again(row, new_id, idempotency_key))
        [added] = add_in(database, connection, [new], max_queued, wait=True)
        return new, added

    return database.write(work)


def _retried_before(
    connection: Connection, job_id: str, tenant: str, idempotency_key: str | None
) -> tuple[NewJob, Added] | None:
    same_key = (job.c.tenant == tenant) & (job.c.idempotency_key == idempotency_key)
    earlier = select(job).where(same_key, job.c.fingerprint == _retry_of(job_id))
    row = connection.execute(earlier).one_or_none() if idempotency_key else None
    return (_again(row, row.id, idempotency_key), Added(row.id, replayed=True)) if row else None


def _retry_of(job_id: str) -> str:
    return f"retry of {job_id}"


def _again(row: Row[Any], new_id: str, idempotency_key: str | None) -> NewJob:
    return NewJob(
        id=new_id,
        task=row.task,
        task_version=row.task_version,
        queue=row.queue,
        payload=row.payload,
        priority=row.priority,
        timeout_seconds=row.timeout_seconds,
        memory_limit_mb=row.memory_limit_mb,
        cpu_limit_seconds=row.cpu_limit_seconds,
        max_attempts=row.max_attempts,
        tenant=row.tenant,
        idempotency_key=idempotency_key,
        fingerprint=_retry_of(row.id) if idempotency_key else None,
        tags=tags_of(row),
        parent_id=row.id,
        result_ttl_seconds=row.result_ttl_seconds,
        callback_url=row.callback_url,
    )
