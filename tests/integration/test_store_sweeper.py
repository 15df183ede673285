"""When lost leases are swept."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import pytest
from sqlalchemy import Connection

from offload_shared.errors import StoreUnavailable
from offload_shared.store import recovery
from offload_shared.store.database import Database
from offload_shared.store.migrate import migrate
from offload_shared.store.sweeper import Sweeper
from tests.jobs import added, read, running

T = TypeVar("T")

LEASE_SECONDS = 30.0


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_lost_lease_is_swept_only_after_one_lease_of_quiet(database: Database) -> None:
    job_id, _ = running(database, lease_seconds=-1)
    clock = Clock()
    sweeper = Sweeper(database, lease_seconds=LEASE_SECONDS, clock=clock)

    assert 0 == sweeper.sweep()
    clock.now += LEASE_SECONDS - 1
    assert 0 == sweeper.sweep()
    assert "running" == read(database, job_id).state

    clock.now += 1
    assert 1 == sweeper.sweep()
    assert "queued" == read(database, job_id).state


def test_an_expired_job_is_failed_at_once(database: Database) -> None:
    job_id = added(database, deadline_at=datetime.now(UTC) - timedelta(seconds=1))

    assert 1 == Sweeper(database, lease_seconds=LEASE_SECONDS, clock=Clock()).sweep()
    assert ("failed", "expired") == (read(database, job_id).state, read(database, job_id).failure)


class Leaving(Database):
    """A store that can be away."""

    away = False

    def read(self, work: Callable[[Connection], T]) -> T:
        if self.away:
            raise StoreUnavailable("away")
        return super().read(work)


def test_after_the_store_was_away_leases_are_left_alone_for_another_one(store_url: str) -> None:
    database = Leaving(store_url)
    migrate(database)
    clock = Clock()
    sweeper = Sweeper(database, lease_seconds=LEASE_SECONDS, clock=clock)
    sweeper.sweep()
    clock.now += LEASE_SECONDS
    job_id, _ = running(database, lease_seconds=-1)  # it ran out while its worker could not prolong it

    database.away = True
    assert 0 == sweeper.sweep()
    database.away = False
    assert 0 == sweeper.sweep()
    clock.now += LEASE_SECONDS - 1
    assert 0 == sweeper.sweep()
    assert "running" == read(database, job_id).state

    clock.now += 1
    assert 1 == sweeper.sweep()
    database.dispose()


def test_more_than_a_batch_goes_in_one_sweep(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "BATCH", 2)
    past = datetime.now(UTC) - timedelta(seconds=1)
    overdue = [added(database, deadline_at=past) for _ in range(5)]
    sweeper = Sweeper(database, lease_seconds=LEASE_SECONDS)

    assert 5 == sweeper.sweep()
    assert {"failed"} == {read(database, job_id).state for job_id in overdue}
