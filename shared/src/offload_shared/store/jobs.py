"""What the API does with jobs: adds them, reads them."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, bindparam, func, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from offload_shared.errors import StoreUnavailable
from offload_shared.job import Attempt, Failure, Job, JobState, NewJob, Progress, StoredFile
from offload_shared.store import quotas
from offload_shared.store.clock import UtcDateTime, clock
from offload_shared.store.database import Database
from offload_shared.store.quotas import Admission
from offload_shared.store.repeats import earlier
from offload_shared.store.schema import artifact, attempt, job, tag
from offload_shared.store.steps import NEVER

#: How long the API has to hint at a new job itself before the relay does.
FIRST_HINT_SECONDS = 2.0


class Added(msgspec.Struct, frozen=True):
    """What became of a submitted job: `id` names it, or the one an earlier request with the same key made."""

    id: str
    replayed: bool = False
    conflict: bool = False  # the key belongs to another body: nothing was added
    refused: bool = False  # the tenant has as many jobs queued as it may: nothing was added
    busy: bool = False  # others hold the tenant's quota, and were not waited for: nothing was added
    created_at: datetime | None = None  # of a job added just now, by the store's clock
    run_at: datetime | None = None


def add(database: Database, jobs: Sequence[NewJob], *, max_queued: int = 0, wait: bool = False) -> list[Added]:
    """Add jobs in one transaction, none twice for one idempotency key; answers in their order.

    `max_queued` is how many jobs a tenant may have queued, 0 for any number. Only with `wait` are others waited for who
    add jobs of the same tenants then.
    """

    def work(connection: Connection) -> list[Added]:
        return add_in(database, connection, jobs, max_queued, wait=wait)

    return database.write(work)


def add_all(database: Database, jobs: Sequence[NewJob], *, max_queued: int = 0) -> list[Added]:
    """Add jobs as `add` does, waiting for others, or none of them when the answer to one is `conflict` or `refused`."""

    def unwanted(answer: Added) -> bool:
        return answer.conflict or answer.refused

    return database.write(lambda connection: add_unless(database, connection, jobs, max_queued, unwanted))


def add_unless(
    database: Database,
    connection: Connection,
    jobs: Sequence[NewJob],
    max_queued: int,
    unwanted: Callable[[Added], bool],
) -> list[Added]:
    """Add jobs in the transaction of a connection, or none of them when the answer to one is not wanted."""
    admission = _admission(connection, jobs, max_queued, wait=True)
    # What was counted for it is kept whatever becomes of the jobs: else each refusal would count again.
    before = connection.begin_nested()
    answers = _add_admitted(database, connection, jobs, admission)
    if any(unwanted(answer) for answer in answers):
        before.rollback()
    return answers


def add_in(
    database: Database, connection: Connection, jobs: Sequence[NewJob], max_queued: int = 0, *, wait: bool = False
) -> list[Added]:
    """Add jobs in the transaction of a connection, as `add` does."""
    return _add_admitted(database, connection, jobs, _admission(connection, jobs, max_queued, wait=wait))


def _admission(connection: Connection, jobs: Sequence[NewJob], max_queued: int, *, wait: bool) -> Admission | None:
    return quotas.admit(connection, jobs, max_queued, wait=wait) if max_queued else None


def _add_admitted(
    database: Database, connection: Connection, jobs: Sequence[NewJob], admission: Admission | None
) -> list[Added]:
    admitted = jobs if admission is None else admission.jobs
    added = _inserted(database, connection, admitted, limited=admission is not None)
    if admission is not None:
        quotas.spend(connection, Counter(new.tenant for new in admitted if new.id in added))
    if tags := [{"name": name, "job_id": new.id} for new in jobs if new.id in added for name in new.tags]:
        connection.execute(insert(tag), tags)
    # Two jobs of one call may carry one key: the second finds the first.
    known = earlier(connection, [new for new in jobs if new.id not in added])
    return [added.get(new.id) or _not_added(new, known, admission) for new in jobs]


def _inserted(database: Database, connection: Connection, jobs: Sequence[NewJob], *, limited: bool) -> dict[str, Added]:
    if not jobs:
        return {}
    values = [_row(new, limited=limited) for new in sorted(jobs, key=_key_order)]
    rows = connection.execute(_insert(for_sqlite=database.sqlite), values)
    return {row.id: Added(row.id, created_at=row.created_at, run_at=row.run_at) for row in rows}


def _key_order(new: NewJob) -> tuple[str, str]:
    # Two processes that insert the same keys in opposite order would wait for each other.
    return (new.tenant, new.idempotency_key or "")


@cache
def _insert(*, for_sqlite: bool) -> Any:
    insert_into = sqlite.insert if for_sqlite else postgresql.insert
    starts = func.coalesce(bindparam("starts", type_=UtcDateTime), clock(bindparam("delay")))
    hinted = func.coalesce(bindparam("starts", type_=UtcDateTime), clock(bindparam("hint_delay")))
    values = {"created_at": clock(), "run_at": starts, "publish_after": hinted}
    return insert_into(job).values(values).on_conflict_do_nothing().returning(job.c.id, job.c.created_at, job.c.run_at)


def _row(new: NewJob, *, limited: bool) -> dict[str, Any]:
    step = new.step
    return {
        "id": new.id,
        "tenant": new.tenant,
        "task": new.task,
        "task_version": new.task_version,
        "queue": new.queue,
        "payload": new.payload,
        "priority": new.priority,
        "timeout_seconds": new.timeout_seconds,
        "memory_limit_mb": new.memory_limit_mb,
        "cpu_limit_seconds": new.cpu_limit_seconds,
        "max_attempts": new.max_attempts,
        "idempotency_key": new.idempotency_key,
        "fingerprint": new.fingerprint,
        "deadline_at": new.deadline_at,
        "state": JobState.QUEUED,
        "version": 1,
        "attempt": 0,
        "errors": 0,
        "losses": 0,
        "dispatches": 0,
        "cancel_requested": False,
        "starts": NEVER if step and step.after else new.run_at,
        "delay": new.delay_seconds,
        "hint_delay": new.delay_seconds or FIRST_HINT_SECONDS,
        "tags": msgspec.json.encode(new.tags).decode() if new.tags else None,
        "parent_id": new.parent_id,
        "quota": new.tenant if limited else None,
        "result_ttl_seconds": new.result_ttl_seconds,
        "schedule_id": new.schedule_id,
        "callback_url": new.callback_url,
        "flow_id": step.flow_id if step else None,
        "step": step.name if step else None,
        "waits_for": len(step.after) if step else None,
        "if_failed": step.if_failed if step else None,
    }


def _not_added(new: NewJob, known: Mapping[tuple[str, str | None], Any], admission: Admission | None) -> Added:
    found = known.get((new.tenant, new.idempotency_key))
    if found is not None:
        same = bool(found.fingerprint == new.fingerprint)
        return Added(found.id, replayed=same, conflict=not same)
    if admission is not None and new.tenant in admission.busy:
        return Added(new.id, busy=True)
    if admission is not None and new.id in admission.refused:
        return Added(new.id, refused=True)
    raise StoreUnavailable("the job of this key was removed just now")


def get(database: Database, job_id: str, *, tenant: str = "") -> Job | None:
    """Return a job with its ended attempts and artifacts, or None when the tenant has none of that id."""

    def work(connection: Connection) -> Job | None:
        row = connection.execute(_JOB, {"asked": job_id, "owner": tenant}).one_or_none()
        if row is None:
            return None
        # Each statement sees the store at its own moment: what ended since the first is left out, to fit the job.
        ended = {"asked": job_id, "last": row.attempt - (row.state == JobState.RUNNING)}
        attempts = connection.execute(_ATTEMPTS, ended).all()
        succeeded = row.state == JobState.SUCCEEDED  # else it has none
        kept = connection.execute(_ARTIFACTS, {"asked": job_id}).all() if succeeded else []
        return as_job(row, [_attempt(each) for each in attempts], [stored_file(each) for each in kept])

    return database.read(work)


# These are made once: to put one together takes several times as long as to run it.
_MINE = (job.c.id == bindparam("asked")) & (job.c.tenant == bindparam("owner"))
_JOB = select(job, clock().label("now")).where(_MINE)
_ATTEMPTS = (
    select(attempt)
    .where((attempt.c.job_id == bindparam("asked")) & (attempt.c.number <= bindparam("last")))
    .order_by(attempt.c.number)
)
_ARTIFACTS = select(artifact).where(artifact.c.job_id == bindparam("asked")).order_by(artifact.c.name)
_RESULT = select(attempt.c.result).join(job).where(_MINE & (attempt.c.outcome == "succeeded"))
_VERSIONS = select(job.c.id, job.c.version).where(job.c.id.in_(bindparam("asked", expanding=True)))


def as_job(row: Row[Any], attempts: list[Attempt], artifacts: list[StoredFile]) -> Job:
    """Return the job that a row of the `job` table, and of the clock as `now`, is about."""
    return Job(
        id=row.id,
        task=row.task,
        queue=row.queue,
        state=JobState(row.state),
        version=row.version,
        priority=row.priority,
        attempt=row.attempt,
        max_attempts=row.max_attempts,
        timeout_seconds=row.timeout_seconds,
        memory_limit_mb=row.memory_limit_mb,
        cpu_limit_seconds=row.cpu_limit_seconds,
        created_at=row.created_at,
        run_at=row.run_at,
        now=row.now,
        deadline_at=row.deadline_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        cancel_requested=row.cancel_requested,
        worker=row.lease_owner,
        progress=msgspec.json.decode(row.progress, type=Progress) if row.progress else None,
        failure=Failure(row.failure) if row.failure else None,
        detail=row.detail,
        attempts=attempts,
        artifacts=artifacts,
        tags=tags_of(row),
        parent_id=row.parent_id,
        result_ttl_seconds=row.result_ttl_seconds,
        expires_at=row.expires_at,
        schedule_id=row.schedule_id,
        callback_url=row.callback_url,
        flow_id=row.flow_id,
        step=row.step,
        waits_for=row.waits_for or 0,
    )


def tags_of(row: Row[Any]) -> tuple[str, ...]:
    """Return the tags of a row of a job."""
    return msgspec.json.decode(row.tags, type=tuple[str, ...]) if row.tags else ()


def _attempt(row: Row[Any]) -> Attempt:
    return Attempt(
        number=row.number,
        outcome=row.outcome,
        worker=row.worker,
        started_at=row.started_at,
        finished_at=row.finished_at,
        failure=Failure(row.failure) if row.failure else None,
        detail=row.detail,
        wall_seconds=row.wall_seconds,
        cpu_seconds=row.cpu_seconds,
        peak_memory_mb=row.peak_memory_mb,
    )


def stored_file(row: Row[Any]) -> StoredFile:
    """Return the file a row of the `file` or `artifact` table names."""
    return StoredFile(key=row.key, name=row.name, media_type=row.media_type, size=row.size, sha256=row.sha256)


def result(database: Database, job_id: str, *, tenant: str = "") -> bytes | None:
    """Return the JSON that the successful attempt of a tenant's job returned, or None when there is none."""
    asked = {"asked": job_id, "owner": tenant}
    return database.read(lambda connection: connection.execute(_RESULT, asked).scalar_one_or_none())


def versions(database: Database, job_ids: Sequence[str]) -> dict[str, int]:
    """Return the version of each of these jobs, whosoever: a cheap way to see which have changed.

    Who asks on behalf of a client has read the job before, and does after, as its tenant's.
    """
    asked = {"asked": job_ids}
    return database.read(lambda connection: {row.id: row.version for row in connection.execute(_VERSIONS, asked)})
