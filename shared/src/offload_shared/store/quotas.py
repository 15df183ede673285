"""How many jobs a tenant may have queued: kept to by every API process together, without counting for each submit.

A tenant's row says how many jobs it may still add. Each submit takes from that, holding the tenant's quota until it
commits; jobs that leave the queue do not give back. Only when there is no room left are the queued jobs counted again,
no more often than once a second. So the count costs what it saves, and claims and ends of jobs know nothing of it.

Whoever has jobs of many tenants waits for no quota that another transaction holds: a call that is slow with one
tenant's would be slow with all.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, func, insert, select, text, update

from offload_shared.job import JobState, NewJob
from offload_shared.store.clock import clock
from offload_shared.store.repeats import repeated
from offload_shared.store.schema import job, quota

RECOUNT_SECONDS = 1.0
#: Any number, so long as it is always the same: what tells the advisory locks of quotas from others.
LOCKS = 7_014_025_862_951_341


class Admission(NamedTuple):
    """Which of some jobs may be added."""

    jobs: Sequence[NewJob]
    refused: Collection[str] = ()  # ids of those without room, and of repeats, which need none
    busy: Collection[str] = ()  # tenants whose quotas others hold: nothing is known of their room


def admit(connection: Connection, jobs: Sequence[NewJob], most: int, *, wait: bool) -> Admission:
    """Say for which of these jobs their tenants have room; their quotas are held until the transaction ends.

    `most` is how many jobs one tenant may have queued. With `wait` there are no busy tenants.
    """
    wanted = Counter(new.tenant for new in jobs)
    held = _held(connection, sorted(wanted), wait=wait)
    room = {tenant: _room(connection, tenant, wanted[tenant], most) for tenant in held}
    # Where there is room for all, it does not matter which are repeats.
    repeats = repeated(connection, [new for new in jobs if wanted[new.tenant] > room.get(new.tenant, most)])
    admitted, refused = [], set()
    for new in jobs:
        if new.tenant not in room:
            continue
        if room[new.tenant] > 0 and new.id not in repeats:
            room[new.tenant] -= 1
            admitted.append(new)
        else:
            refused.add(new.id)
    return Admission(admitted, refused, wanted.keys() - held)


def spend(connection: Connection, added: Mapping[str, int]) -> None:
    """Note how many jobs tenants have added; those that turned out to be repeats took no room."""
    for tenant, number in added.items():
        connection.execute(update(quota).where(quota.c.tenant == tenant).values(room=quota.c.room - number))


def _held(connection: Connection, tenants: list[str], *, wait: bool) -> set[str]:
    # No lock of the rows, since a tenant's first row is not there to be locked: who adds it too would have to wait.
    if connection.dialect.name == "sqlite" or not tenants:
        return set(tenants)  # SQLite has one writer at a time
    # In their order: two processes that lock the same tenants in opposite order would wait for each other.
    held = connection.execute(_WAIT if wait else _TRY, {"tenants": tenants, "locks": LOCKS})
    return set(tenants) if wait else set(held.scalars())


_TENANTS = "FROM unnest(CAST(:tenants AS text[])) AS tenant"
_LOCK = "advisory_xact_lock(hashtextextended(tenant, :locks))"
_WAIT = text(f"SELECT pg_{_LOCK} {_TENANTS}")
_TRY = text(f"SELECT tenant {_TENANTS} WHERE pg_try_{_LOCK}")


def _room(connection: Connection, tenant: str, wanted: int, most: int) -> int:
    mine = quota.c.tenant == tenant
    fresh = (quota.c.counted_at > clock(-RECOUNT_SECONDS)).label("fresh")
    row = connection.execute(select(quota.c.room, quota.c.most, fresh).where(mine)).one_or_none()
    if row is not None and row.most == most and (row.room >= wanted or row.fresh):
        return int(row.room)
    room = most - _queued(connection, tenant, most)
    counted = {"room": room, "most": most, "counted_at": clock()}
    if row is None:
        connection.execute(insert(quota).values(tenant=tenant, **counted))
    else:
        connection.execute(update(quota).where(mine).values(counted))
    return room


def _queued(connection: Connection, tenant: str, most: int) -> int:
    # No further than it matters. The quota is held, so every submit of another process is either seen or yet to come.
    queued = select(job.c.quota).where(job.c.quota == tenant, job.c.state == JobState.QUEUED).limit(most).subquery()
    return int(connection.execute(select(func.count()).select_from(queued)).scalar_one())
