"""Claims about jobs that wait for a worker that knows them, on both databases."""

import logging

import pytest
from sqlalchemy import select, update

from offload_shared.store import hints, unknown
from offload_shared.store.clock import clock
from offload_shared.store.database import Database
from offload_shared.store.schema import job
from offload_worker.unknown import UnknownTasks
from tests.jobs import added

KNOWN = [("probe", 1), ("probe", 2)]


def test_what_waits_at_the_head_of_a_queue_and_is_not_known_is_told_of(database: Database) -> None:
    added(database)
    added(database, task_version=2)
    for _ in range(2):
        added(database, task_version=3)
    added(database, task="shout")
    added(database, task="later", delay_seconds=60)
    added(database, task="elsewhere", queue="io")

    assert [("probe", 3), ("shout", 1)] == unknown.leave_for_others(database, ["cpu"], KNOWN)
    assert [("elsewhere", 1)] == unknown.leave_for_others(database, ["io"], KNOWN)


def test_it_is_hinted_at_once_a_minute_and_not_ever_more_seldom(database: Database) -> None:
    mine, other = added(database, task="shout"), added(database)
    often = {"dispatches": 6, "publish_after": clock(1800)}
    database.write(lambda connection: connection.execute(update(job).values(often)))

    unknown.leave_for_others(database, ["cpu"], KNOWN)

    soon = select(job.c.id).where(job.c.publish_after < clock(61), job.c.dispatches == 1)
    assert [mine] == database.read(lambda connection: connection.execute(soon).scalars().all())
    database.write(lambda connection: connection.execute(update(job).values(publish_after=clock(-1))))
    assert {mine, other} == {hint.job_id for hint in hints.take_due(database, ["cpu"])}


def test_a_worker_says_once_what_it_leaves_to_others(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    added(database, task_version=3)
    added(database, task="shout")
    watching = UnknownTasks(database, ["cpu"], KNOWN)

    with caplog.at_level(logging.WARNING):
        watching.step()
        watching.step()

    assert [
        "jobs of task probe, version 3, stay queued for others: this worker knows it up to version 2",
        "jobs of task shout, version 1, stay queued for others: this worker does not know the task",
    ] == [record.getMessage() for record in caplog.records]
    assert (("probe", 3), ("shout", 1)) == watching.found
