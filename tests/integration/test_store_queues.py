"""Claims about paused queues, and about what is counted of any, on both databases."""

from typing import Any

import pytest
from sqlalchemy import select, update

from offload_shared.ids import new_id
from offload_shared.job import JobState, Succeeded, Usage
from offload_shared.store import hints, jobs, leases, queues
from offload_shared.store.clock import clock
from offload_shared.store.database import Database
from offload_shared.store.queues import QueueStatus
from offload_shared.store.schema import job
from tests.jobs import added, claimed, make_due, new_job, read, running


def due(database: Database, **changes: Any) -> str:
    job_id = added(database, **changes)
    make_due(database, job_id)
    return job_id


def status(database: Database, name: str) -> QueueStatus:
    [found] = [each for each in queues.statuses(database, {name}) if each.name == name]
    return found


def resumed(database: Database, name: str = "cpu") -> None:
    queues.resume(database, name)
    while not hints.hint_again(database, name):
        pass


def test_a_job_of_a_paused_queue_is_not_claimed_until_the_queue_is_resumed(database: Database) -> None:
    job_id, other = added(database, queue="cpu"), added(database, queue="io")

    queues.pause(database, "cpu")
    assert claimed(database, job_id) is None
    assert JobState.QUEUED == read(database, job_id).state
    assert claimed(database, other) is not None

    queues.resume(database, "cpu")
    assert claimed(database, job_id) is not None


def test_a_job_that_runs_goes_on_when_its_queue_is_paused(database: Database) -> None:
    lease = running(database)

    queues.pause(database, "cpu")

    assert leases.heartbeat(database, [lease], lease_seconds=30).held == {lease}
    assert JobState.SUCCEEDED == leases.finish(database, lease, Succeeded(b"{}"), Usage())


def test_a_queue_is_paused_and_resumed_any_number_of_times(database: Database) -> None:
    queues.resume(database, "cpu")
    assert status(database, "cpu").paused_at is None
    queues.pause(database, "cpu")
    since = status(database, "cpu").paused_at
    assert since is not None
    queues.pause(database, "cpu")
    assert since == status(database, "cpu").paused_at

    for _ in range(2):
        queues.resume(database, "cpu")
        assert status(database, "cpu").paused_at is None


def test_a_worker_without_a_broker_sees_no_job_of_a_paused_queue(database: Database) -> None:
    job_id = added(database)
    queues.pause(database, "cpu")
    assert [] == hints.due(database, "cpu", tasks=[("probe", 1)], limit=10)

    queues.resume(database, "cpu")
    assert [job_id] == [hint.job_id for hint in hints.due(database, "cpu", tasks=[("probe", 1)], limit=10)]


def test_the_relay_is_told_of_no_job_of_a_paused_queue(database: Database) -> None:
    due(database, queue="cpu")
    other = due(database, queue="io")
    queues.pause(database, "cpu")

    assert {"io"} == hints.queues_due(database)
    assert {"io": 1} == hints.backlog(database)
    assert [other] == [hint.job_id for hint in hints.take_due(database, ["cpu", "io"])]


def test_what_is_due_in_a_paused_queue_is_passed_over_once_and_due_when_it_is_resumed(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hints, "FORGET_BATCH", 2)
    waiting = {due(database) for _ in range(5)}
    queues.pause(database, "cpu")

    assert [False, False, True, True] == [hints.pass_over(database, "cpu") for _ in range(4)]

    resumed(database)
    assert waiting == {hint.job_id for hint in hints.take_due(database, ["cpu"])}


def test_a_queue_that_is_not_paused_is_not_passed_over(database: Database) -> None:
    job_id = due(database)

    assert hints.pass_over(database, "cpu")

    assert [job_id] == [hint.job_id for hint in hints.take_due(database, ["cpu"])]


def test_jobs_whose_hints_were_dropped_are_due_for_one_at_once_when_their_queue_is_resumed(database: Database) -> None:
    relayed = due(database)
    assert [relayed] == [hint.job_id for hint in hints.take_due(database, ["cpu"])]
    confirmed = added(database)
    hints.mark_published(database, [confirmed])
    queues.pause(database, "cpu")
    for job_id in (relayed, confirmed):
        assert claimed(database, job_id) is None

    queues.resume(database, "cpu")
    assert set() == hints.queues_due(database)  # until all are due again, none is hinted at
    assert {"cpu"} == queues.interrupted(database).resumed
    assert hints.hint_again(database, "cpu")

    assert set() == queues.interrupted(database).resumed
    assert {relayed, confirmed} == {hint.job_id for hint in hints.take_due(database, ["cpu"])}


def test_jobs_are_due_again_in_batches_which_any_process_may_go_on_with(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hints, "FORGET_BATCH", 2)
    for _ in range(4):
        due(database)
    hints.take_due(database, ["cpu"])
    queues.pause(database, "cpu")
    queues.resume(database, "cpu")

    assert [False, False, True, True] == [hints.hint_again(database, "cpu") for _ in range(4)]
    assert 4 == len(hints.take_due(database, ["cpu"]))


def test_a_confirmation_that_comes_after_the_resumption_does_not_hide_a_dropped_hint(database: Database) -> None:
    queues.pause(database, "cpu")
    job_id = added(database)
    assert claimed(database, job_id) is None  # its hint has come, and is dropped
    resumed(database)

    hints.mark_published(database, [job_id])

    statement = select(job).where(job.c.id == job_id)
    assert 0 == database.read(lambda connection: connection.execute(statement).one()).dispatches


def test_a_job_for_later_keeps_its_time_while_its_queue_is_paused(database: Database) -> None:
    job_id = added(database, delay_seconds=1000)
    before = read(database, job_id).run_at
    queues.pause(database, "cpu")
    hints.pass_over(database, "cpu")
    resumed(database)

    assert before == read(database, job_id).run_at
    assert [] == hints.take_due(database, ["cpu"])


def test_jobs_are_counted_by_queue_and_state_and_those_that_have_ended_are_not(database: Database) -> None:
    old = added(database)
    change = {"run_at": clock(-60), "publish_after": clock(-60)}
    database.write(lambda connection: connection.execute(update(job).where(job.c.id == old).values(change)))
    added(database)
    added(database, delay_seconds=1000)
    running(database)
    leases.finish(database, running(database), Succeeded(b"{}"), Usage())
    jobs.add(database, [new_job(id=new_id(), queue="other", delay_seconds=1000)])

    found = {each.name: each for each in queues.statuses(database, {"cpu", "idle"})}

    assert {"cpu", "idle", "other"} == found.keys()
    assert (2, 1, 1) == (found["cpu"].queued, found["cpu"].scheduled, found["cpu"].running)
    assert found["cpu"].oldest_due_seconds is not None
    assert 60 <= found["cpu"].oldest_due_seconds < 120
    assert (0, 1, 0, None) == (
        found["other"].queued,
        found["other"].scheduled,
        found["other"].running,
        found["other"].oldest_due_seconds,
    )
    assert QueueStatus(name="idle") == found["idle"]


def test_a_queue_is_known_by_its_jobs_that_have_not_ended_or_by_having_been_paused(database: Database) -> None:
    assert not queues.is_known(database, "cpu")
    lease = running(database)
    assert queues.is_known(database, "cpu")
    leases.finish(database, lease, Succeeded(b"{}"), Usage())
    assert not queues.is_known(database, "cpu")
    added(database)
    assert queues.is_known(database, "cpu")

    queues.pause(database, "other")
    assert queues.is_known(database, "other")
