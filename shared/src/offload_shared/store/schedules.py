"""Recurring schedules: kept, changed, and made into jobs when their time has come."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, bindparam, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from offload_shared.errors import StoreUnavailable
from offload_shared.schedule import Missed, NewSchedule, Plan, Schedule, Turn
from offload_shared.store.clock import clock, now
from offload_shared.store.database import Database
from offload_shared.store.jobs import add_in
from offload_shared.store.schema import schedule

BATCH = 100


class AddedSchedule(msgspec.Struct, frozen=True):
    """What became of a submitted schedule: itself, or the one that an earlier request with the same key made."""

    schedule: Schedule
    replayed: bool = False
    conflict: bool = False  # the key belongs to another body: nothing was added


class WantedSchedules(msgspec.Struct, frozen=True, kw_only=True):
    """Which schedules are listed: those of which all of this holds."""

    tenant: str = ""
    name: str | None = None
    paused: bool | None = None


def add_schedule(
    database: Database, new: NewSchedule, *, first_run_at: Callable[[datetime], datetime], most: int
) -> AddedSchedule | None:
    """Add a schedule, not twice for one idempotency key; returns None when the tenant has `most` of them already.

    `first_run_at` is given the store's clock; what it raises passes through. Several that are added at the same moment
    may together come to more than `most`.
    """

    def work(connection: Connection) -> AddedSchedule | None:
        if earlier := _earlier(connection, new):
            return _replayed(new, earlier)
        mine = schedule.c.tenant == new.tenant
        if connection.execute(select(func.count()).select_from(schedule).where(mine)).scalar_one() >= most:
            return None
        moment = connection.execute(select(clock())).scalar_one()
        row = connection.execute(_insert(database, new, first_run_at(moment))).one_or_none()
        if row is None:  # another request with the same key was faster
            return _replayed(new, _earlier(connection, new))
        return AddedSchedule(_as_schedule(row))

    return database.write(work)


def _earlier(connection: Connection, new: NewSchedule) -> Row[Any] | None:
    if new.idempotency_key is None:
        return None
    same_key = (schedule.c.tenant == new.tenant) & (schedule.c.idempotency_key == new.idempotency_key)
    return connection.execute(select(schedule).where(same_key)).one_or_none()


def _replayed(new: NewSchedule, earlier: Row[Any] | None) -> AddedSchedule:
    if earlier is None:
        raise StoreUnavailable("the schedule of this key was removed just now")
    same = bool(earlier.fingerprint == new.fingerprint)
    return AddedSchedule(_as_schedule(earlier), replayed=same, conflict=not same)


def _insert(database: Database, new: NewSchedule, first_run_at: datetime) -> Any:
    insert_into = sqlite.insert if database.sqlite else postgresql.insert
    values = {
        "id": new.id,
        "tenant": new.tenant,
        **msgspec.structs.asdict(new.plan),
        "idempotency_key": new.idempotency_key,
        "fingerprint": new.fingerprint,
        "version": 1,
        "created_at": clock(),
        "next_run_at": first_run_at,
    }
    return insert_into(schedule).values(values).on_conflict_do_nothing().returning(schedule)


def get_schedule(database: Database, schedule_id: str, *, tenant: str = "") -> Schedule | None:
    """Return a schedule, or None when the tenant has none of that id."""
    statement = select(schedule).where(schedule.c.id == schedule_id, schedule.c.tenant == tenant)
    row = database.read(lambda connection: connection.execute(statement).one_or_none())
    return _as_schedule(row) if row else None


def page(database: Database, wanted: WantedSchedules, *, size: int, older_than: str | None = None) -> list[Schedule]:
    """Return up to `size` schedules, the newest first, that are older than the one of this id."""
    older = [schedule.c.id < older_than] if older_than is not None else []
    statement = select(schedule).where(*_conditions(wanted), *older).order_by(schedule.c.id.desc()).limit(size)
    return database.read(lambda connection: [_as_schedule(row) for row in connection.execute(statement)])


def _conditions(wanted: WantedSchedules) -> Iterator[ColumnElement[bool]]:
    yield schedule.c.tenant == wanted.tenant
    if wanted.name is not None:
        yield schedule.c.name == wanted.name
    if wanted.paused is not None:
        yield schedule.c.paused == wanted.paused


def change_schedule(
    database: Database,
    schedule_id: str,
    *,
    changed: Callable[[Schedule, datetime], tuple[Plan, datetime | None]],
    tenant: str = "",
) -> Schedule | None:
    """Give a schedule the plan and the next time that `changed` makes of it; None when the tenant has none of that id.

    `changed` is given the schedule, which nobody else can change meanwhile, and the store's clock; what it raises
    passes through, and changes nothing.
    """

    def work(connection: Connection) -> Schedule | None:
        mine = (schedule.c.id == schedule_id) & (schedule.c.tenant == tenant)
        row = connection.execute(select(schedule, clock().label("now")).where(mine).with_for_update()).one_or_none()
        if row is None:
            return None
        plan, next_run_at = changed(_as_schedule(row), row.now)
        values = {**msgspec.structs.asdict(plan), "next_run_at": next_run_at, "error": None, "version": row.version + 1}
        return _as_schedule(connection.execute(update(schedule).where(mine).values(values).returning(schedule)).one())

    return database.write(work)


def delete_schedule(database: Database, schedule_id: str, *, tenant: str = "") -> bool:
    """Remove a schedule, and none of its jobs; returns whether it was there."""
    mine = (schedule.c.id == schedule_id) & (schedule.c.tenant == tenant)
    statement = delete(schedule).where(mine).returning(schedule.c.id)
    return database.write(lambda connection: connection.execute(statement).one_or_none()) is not None


def fire_due(
    database: Database, turn: Callable[[Schedule, datetime], Turn], *, max_queued: int = 0, refusal: str | None = None
) -> int:
    """Take some schedules whose time has come, add their jobs and move them on, all in one transaction.

    `turn` says what comes of a schedule's time, given the store's clock, and must not raise. Of a tenant that has
    `max_queued` jobs queued (0: any number) no job is added, and the schedule keeps `refusal` as its error; one whose
    tenant is busy is left as it is. Returns how many were taken; to be repeated until that is none. Others that do the
    same at the same time take other schedules.
    """

    def work(connection: Connection) -> int:
        due = ~schedule.c.paused & (schedule.c.next_run_at <= now())
        taken = select(schedule, clock().label("now")).where(due).order_by(schedule.c.next_run_at).limit(BATCH)
        rows = connection.execute(taken.with_for_update(skip_locked=True)).all()
        turns = [turn(_as_schedule(row), row.now) for row in rows]
        jobs = [each.job for each in turns if each.job is not None]
        # An id is known before the job is added; the key decides which job is there in the end.
        added = add_in(database, connection, jobs, max_queued)
        ids = {job.id: each.id for job, each in zip(jobs, added, strict=True) if not each.refused}
        busy = {job.id for job, each in zip(jobs, added, strict=True) if each.busy}
        moved = [
            _moved(row, each, ids, refusal)
            for row, each in zip(rows, turns, strict=True)
            if each.job is None or each.job.id not in busy
        ]
        if moved:
            connection.execute(_MOVE, moved)
        return len(moved)

    return database.write(work) if _is_any_due(database) else 0


_MOVE = (
    update(schedule)
    .where(schedule.c.id == bindparam("moved"))
    .values(
        version=schedule.c.version + 1,
        next_run_at=bindparam("to_next"),
        last_run_at=bindparam("to_last"),
        last_job_id=bindparam("to_job"),
        error=bindparam("to_error"),
    )
)


def _moved(row: Row[Any], turn: Turn, ids: dict[str, str], refusal: str | None) -> dict[str, Any]:
    job_id = ids.get(turn.job.id) if turn.job else None
    last = (row.next_run_at, job_id) if job_id else (row.last_run_at, row.last_job_id)
    return {
        "moved": row.id,
        "to_next": turn.next_run_at,
        "to_last": last[0],
        "to_job": last[1],
        "to_error": refusal if turn.job and job_id is None else turn.error,
    }


def _is_any_due(database: Database) -> bool:
    # The first row of an index, without a transaction: mostly there is nothing to do.
    waiting = ~schedule.c.paused & schedule.c.next_run_at.is_not(None)
    first = select(schedule.c.next_run_at, clock().label("now")).where(waiting).order_by(schedule.c.next_run_at)
    row = database.read(lambda connection: connection.execute(first.limit(1)).one_or_none())
    return row is not None and row.next_run_at <= row.now


def _as_schedule(row: Row[Any]) -> Schedule:
    return Schedule(
        id=row.id,
        tenant=row.tenant,
        plan=Plan(
            job=row.job,
            cron=row.cron,
            timezone=row.timezone,
            missed=Missed(row.missed),
            paused=row.paused,
            name=row.name,
        ),
        version=row.version,
        created_at=row.created_at,
        next_run_at=row.next_run_at,
        last_run_at=row.last_run_at,
        last_job_id=row.last_job_id,
        error=row.error,
    )
