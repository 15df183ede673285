"""How many jobs a tenant may have queued: kept to by every API process together, without counting for each submit.

A tenant's row says how many jobs it may still add. Each submit takes from that, holding the row until it commits; jobs
that leave the queue do not give back. Only when there is no room left are the queued jobs counted again, no more often
than once a second. So the count costs what it saves, and claims and ends of jobs know nothing of it.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from offload_shared.job import JobState, NewJob
from offload_shared.store.clock import clock
from offload_shared.store.schema import job, quota

RECOUNT_SECONDS = 1.0


def admit(connection: Connection, jobs: Sequence[NewJob], most: int) -> list[NewJob]:
    """Return those of these jobs for which their tenants have room; their rows stay locked until the transaction ends.

    `most` is how many jobs one tenant may have queued.
    """
    wanted = Counter(new.tenant for new in jobs)
    # Sorted: two processes that lock the same rows in opposite order would wait for each other.
    room = {tenant: _room(connection, tenant, number, most) for tenant, number in sorted(wanted.items())}
    admitted = []
    for new in jobs:
        if room[new.tenant] > 0:
            room[new.tenant] -= 1
            admitted.append(new)
    return admitted


def spend(connection: Connection, added: Mapping[str, int]) -> None:
    """Note how many jobs tenants have added; those that turned out to be repeats took no room."""
    for tenant, number in sorted(added.items()):
        connection.execute(update(quota).where(quota.c.tenant == tenant).values(room=quota.c.room - number))


def _room(connection: Connection, tenant: str, wanted: int, most: int) -> int:
    mine = quota.c.tenant == tenant
    fresh = (quota.c.counted_at > clock(-RECOUNT_SECONDS)).label("fresh")
    statement = select(quota.c.room, quota.c.most, fresh).where(mine).with_for_update()
    row = connection.execute(statement).one_or_none()
    if row is None:
        insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
        first = {"tenant": tenant, "room": 0, "most": 0, "counted_at": clock()}
        connection.execute(insert(quota).values(first).on_conflict_do_nothing())
        row = connection.execute(statement).one()
    if row.most == most and (row.room >= wanted or row.fresh):
        return int(row.room)
    room = most - _queued(connection, tenant, most)
    connection.execute(update(quota).where(mine).values(room=room, most=most, counted_at=clock()))
    return room


def _queued(connection: Connection, tenant: str, most: int) -> int:
    # No further than it matters. The lock is held, so every submit of another process is either seen or yet to come.
    queued = select(job.c.quota).where(job.c.quota == tenant, job.c.state == JobState.QUEUED).limit(most).subquery()
    return int(connection.execute(select(func.count()).select_from(queued)).scalar_one())
