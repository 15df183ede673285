from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from offload_shared.errors import StoreUnavailable
from offload_shared.job import Failure, Hint, JobState, Released, Succeeded, Usage
from offload_shared.store import cancelling, hints, jobs, leases, recovery
from offload_shared.store.database import Database
from offload_shared.store.endings import MOST_LOSSES
from offload_shared.store.sweeper import Sweeper
from tests.jobs import WORKER, added, claimed, make_due, new_job, read, running
from tests.servers.session import Servers

LEASE_SECONDS = 30.0


class FakeClock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def test_an_attempt_whose_lease_is_over_is_lost_and_its_job_runs_again(database: Database) -> None:
    job_id, _ = running(database, lease_seconds=-1)

    assert 1 == recovery.end_lost(database)

    found = read(database, job_id)
    assert JobState.QUEUED == found.state
    assert [Failure.LOST] == [each.failure for each in found.attempts]


def test_an_attempt_whose_lease_is_kept_is_left_alone(database: Database) -> None:
    running(database)

    assert 0 == recovery.end_lost(database)


def test_a_job_lost_three_times_fails_and_names_its_last_worker(database: Database) -> None:
    job_id = added(database)
    for number in range(MOST_LOSSES):
        make_due(database, job_id)
        assert claimed(database, job_id, worker=f"w{number}", lease_seconds=-1)
        recovery.end_lost(database)

    found = read(database, job_id)
    assert (JobState.FAILED, Failure.LOST) == (found.state, found.failure)
    assert found.detail is not None
    assert f"attempt {MOST_LOSSES} on worker w2" in found.detail


def test_a_lost_job_that_was_to_be_cancelled_is_cancelled(database: Database) -> None:
    job_id, _ = running(database, lease_seconds=-1)
    cancelling.cancel(database, job_id)

    recovery.end_lost(database)

    assert JobState.CANCELLED == read(database, job_id).state


def test_a_job_past_its_deadline_fails_as_expired(database: Database) -> None:
    job_id = added(database, deadline_at=datetime.now(UTC) - timedelta(seconds=1))

    assert 1 == recovery.fail_expired(database)
    assert Failure.EXPIRED == read(database, job_id).failure


def test_the_sweeper_leaves_leases_alone_until_the_living_could_prolong_them(database: Database) -> None:
    job_id, _ = running(database, lease_seconds=-1)
    clock = FakeClock()
    sweeper = Sweeper(database, lease_seconds=LEASE_SECONDS, clock=clock)

    sweeper.sweep()
    clock.seconds += LEASE_SECONDS - 1
    sweeper.sweep()
    assert JobState.RUNNING == read(database, job_id).state

    clock.seconds += 1
    sweeper.sweep()
    assert JobState.QUEUED == read(database, job_id).state


def test_a_new_job_is_hinted_at_by_the_relay_once_its_turn_has_come(database: Database) -> None:
    job_id = added(database, priority=3)
    assert [] == hints.take_due(database, ["cpu"])

    make_due(database, job_id)

    assert [Hint(job_id, "cpu", 3)] == hints.take_due(database, ["cpu"])
    assert [] == hints.take_due(database, ["cpu"])


def test_a_published_job_is_left_to_its_hint_for_a_while(database: Database) -> None:
    job_id = added(database)
    make_due(database, job_id)

    hints.mark_published(database, [job_id])

    assert [] == hints.take_due(database, ["cpu"])


def test_a_job_that_was_released_is_hinted_at_again_though_it_was_published_before(database: Database) -> None:
    job_id, attempt = running(database)
    hints.mark_published(database, [job_id])

    leases.finish(database, (job_id, attempt), Released(), Usage())

    assert [job_id] == [hint.job_id for hint in hints.take_due(database, ["cpu"])]


def test_a_confirmation_that_comes_after_the_job_was_released_does_not_hold_up_its_next_hint(
    database: Database,
) -> None:
    job_id, attempt = running(database)
    leases.finish(database, (job_id, attempt), Released(), Usage())

    hints.mark_published(database, [job_id])

    assert [job_id] == [hint.job_id for hint in hints.take_due(database, ["cpu"])]


def test_a_broker_that_lost_its_messages_gets_every_due_job_again(database: Database) -> None:
    due, later = added(database), added(database, delay_seconds=3600)
    hints.mark_published(database, [due, later])

    assert 1 == hints.forget_published(database, "cpu")
    assert [due] == [hint.job_id for hint in hints.take_due(database, ["cpu"])]


def test_a_long_queue_is_made_due_again_in_batches(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hints, "FORGET_BATCH", 2)
    waiting = {added(database) for _ in range(5)}
    hints.mark_published(database, sorted(waiting))

    assert [2, 2, 1, 0] == [hints.forget_published(database, "cpu") for _ in range(4)]
    assert waiting == {hint.job_id for hint in hints.take_due(database, ["cpu"])}


def test_a_job_past_its_deadline_is_not_hinted_at(database: Database) -> None:
    make_due(database, added(database, deadline_at=datetime.now(UTC) - timedelta(seconds=1)))

    assert set() == hints.queues_due(database)
    assert [] == hints.take_due(database, ["cpu"])
    assert {} == hints.backlog(database)


def test_the_backlog_counts_due_jobs_by_queue(database: Database) -> None:
    jobs.add(database, [new_job(), new_job(), new_job(queue="io"), new_job(delay_seconds=3600)])

    assert {"cpu": 2, "io": 1} == hints.backlog(database)


def test_due_jobs_come_by_priority_and_then_by_age(database: Database) -> None:
    first, second, urgent = added(database), added(database), added(database, priority=9)

    found = hints.due(database, "cpu", tasks=[("probe", 1)], limit=10)

    assert [urgent, first, second] == [hint.job_id for hint in found]


def test_jobs_past_their_deadline_do_not_stand_before_those_that_can_be_claimed(database: Database) -> None:
    added(database, priority=9, deadline_at=datetime.now(UTC) - timedelta(seconds=1))
    claimable = added(database)

    assert [claimable] == [hint.job_id for hint in hints.due(database, "cpu", tasks=[("probe", 1)], limit=1)]


def test_a_read_does_not_wait_for_a_writer(database: Database) -> None:
    job_id = added(database)

    def write_and_read(connection: Connection) -> JobState:
        connection.execute(text("UPDATE job SET priority = 1"))
        return read(database, job_id).state

    assert JobState.QUEUED == database.write(write_and_read)


FORBIDDEN = {
    "a second end": "UPDATE job SET state = 'failed', failure = 'error' WHERE id = :ended",
    "a revival": "UPDATE job SET state = 'queued', finished_at = NULL WHERE id = :ended",
    "another result": "UPDATE attempt SET result = NULL, outcome = 'cancelled' WHERE job_id = :ended",
    "a second result": "INSERT INTO attempt SELECT job_id, number + 1, outcome, failure, detail, result, worker,"
    " started_at, finished_at, wall_seconds, cpu_seconds, peak_memory_mb FROM attempt WHERE job_id = :ended",
    "a stale result": "INSERT INTO attempt SELECT :running, 1, outcome, failure, detail, result, worker,"
    " started_at, finished_at, wall_seconds, cpu_seconds, peak_memory_mb FROM attempt WHERE job_id = :ended",
    "a success without a result": "UPDATE job SET state = 'succeeded', lease_until = NULL, finished_at = created_at"
    " WHERE id = :running",
    "an attempt out of turn": "UPDATE job SET attempt = attempt + 1 WHERE id = :running",
    "a claim without an attempt": "UPDATE job SET state = 'running', lease_until = created_at WHERE id = :queued",
    "a run without a lease": "UPDATE job SET state = 'running', attempt = attempt + 1 WHERE id = :queued",
    "an unknown state": "UPDATE job SET state = 'paused' WHERE id = :queued",
}


@pytest.mark.parametrize("statement", FORBIDDEN.values(), ids=FORBIDDEN.keys())
def test_the_store_itself_refuses(database: Database, statement: str) -> None:
    ended = running(database)
    leases.finish(database, ended, Succeeded(b"1"), Usage())
    twice = running(database, lease_seconds=-1)
    recovery.end_lost(database)
    make_due(database, twice[0])
    claimed(database, twice[0], WORKER)
    ids = {"ended": ended[0], "running": twice[0], "queued": added(database)}
    used = {name: value for name, value in ids.items() if f":{name}" in statement}

    with pytest.raises(IntegrityError):
        database.write(lambda connection: connection.execute(text(statement), used))


def test_a_store_that_is_down_is_said_in_one_sentence_and_comes_back_by_itself(
    postgres_url: str, servers: Servers
) -> None:
    database = Database(postgres_url)
    database.ping()

    servers.postgresql.stop()
    with pytest.raises(StoreUnavailable, match="the store is not available") as caught:
        database.ping()
    servers.postgresql.start()

    assert "\n" not in str(caught.value)
    database.ping()
    database.dispose()
