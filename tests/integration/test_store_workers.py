"""Claims about which workers there are, on both databases."""

import pytest
from msgspec.structs import replace
from sqlalchemy import select

from offload_shared.job import Succeeded, Usage
from offload_shared.store import leases, workers
from offload_shared.store.database import Database
from offload_shared.store.schema import worker
from offload_shared.store.workers import Presence
from tests.jobs import WORKER, running

HERE = Presence(name=WORKER, host="a-host", pid=42, version="1", slots={"cpu": 2, "io": 256})


def test_a_worker_is_told_of_with_the_jobs_that_it_runs(database: Database) -> None:
    workers.announce(database, HERE, lease_seconds=30)
    first, second = running(database), running(database, task="echo", queue="io")

    [found] = workers.live(database)

    assert HERE == found.presence
    assert found.started_at <= found.seen_at
    assert 2 == found.running
    assert [first, second] == [(each.id, each.attempt) for each in found.jobs]
    assert [("probe", "cpu"), ("echo", "io")] == [(each.task, each.queue) for each in found.jobs]

    leases.finish(database, first, Succeeded(b"{}"), Usage())
    assert [second] == [(each.id, each.attempt) for each in workers.live(database)[0].jobs]


def test_a_worker_that_announces_itself_again_brings_its_news(database: Database) -> None:
    workers.announce(database, HERE, lease_seconds=30)
    [before] = workers.live(database)

    workers.announce(database, replace(HERE, draining=True, paused="crashes"), lease_seconds=30)

    [found] = workers.live(database)
    assert (True, "crashes") == (found.presence.draining, found.presence.paused)
    assert before.started_at == found.started_at
    assert before.seen_at < found.seen_at
    assert [] == found.jobs


def test_a_worker_that_has_left_is_not_told_of(database: Database) -> None:
    workers.announce(database, HERE, lease_seconds=30)

    workers.leave(database, HERE.name)

    assert [] == workers.live(database)


def test_a_worker_that_was_silent_for_a_lease_is_not_told_of_and_forgotten_by_the_others(database: Database) -> None:
    workers.announce(database, HERE, lease_seconds=-1)
    assert [] == workers.live(database)

    other = replace(HERE, name="other")
    workers.announce(database, other, lease_seconds=30)

    assert ["other"] == [found.presence.name for found in workers.live(database)]
    statement = select(worker)
    assert 1 == len(database.read(lambda connection: connection.execute(statement).all()))


def test_of_many_jobs_those_that_have_run_for_longest_are_told(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "MOST_JOBS", 2)
    workers.announce(database, HERE, lease_seconds=30)
    held = [running(database) for _ in range(3)]

    [found] = workers.live(database)

    assert 3 == found.running
    assert held[:2] == [(each.id, each.attempt) for each in found.jobs]
