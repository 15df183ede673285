"""How many requests a tenant may send in a minute: one bucket a tenant, which every API process takes from.

The generic cell rate algorithm: a tenant's row has the moment at which its whole quota will be there again. Each
request moves it on by a share of a minute, and none may move it further than a minute ahead.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

import msgspec
from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from offload_shared.store.clock import clock
from offload_shared.store.database import Database
from offload_shared.store.schema import rate

WINDOW_SECONDS = 60


class Grant(msgspec.Struct, frozen=True):
    """How many requests were granted, how many more would be now, and in how many seconds what will be there again."""

    granted: int
    remaining: int
    next_seconds: float  # one more request
    full_seconds: float  # the whole quota


def take(database: Database, wanted: Mapping[str, int], *, per_window: int) -> dict[str, Grant]:
    """Take so many requests out of each tenant's bucket, or as many as there are."""

    def work(connection: Connection) -> dict[str, Grant]:
        # Sorted: two processes that lock the same rows in opposite order would wait for each other.
        return {tenant: _take(connection, tenant, number, per_window) for tenant, number in sorted(wanted.items())}

    return database.write(work)


def _take(connection: Connection, tenant: str, wanted: int, per_window: int) -> Grant:
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    statement = select(rate.c.full_at, clock().label("now")).where(rate.c.tenant == tenant).with_for_update(of=rate)
    row = connection.execute(statement).one_or_none()
    if row is None:
        connection.execute(insert(rate).values(tenant=tenant, full_at=clock()).on_conflict_do_nothing())
        row = connection.execute(statement).one()
    full_at: datetime = max(row.full_at, row.now)
    share = WINDOW_SECONDS / per_window
    ahead = (full_at - row.now).total_seconds()
    free = int((WINDOW_SECONDS - ahead) / share + 1e-6)
    granted = min(wanted, free)
    if granted:
        moved = rate.update().where(rate.c.tenant == tenant)
        connection.execute(moved.values(full_at=full_at + timedelta(seconds=granted * share)))
    ahead += granted * share
    return Grant(granted, free - granted, max(0.0, ahead + share - WINDOW_SECONDS), ahead)
