from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, select, text

from offload_shared.errors import StoreUnavailable
from offload_shared.job import (
    Cancelled,
    Failed,
    Failure,
    JobState,
    Outcome,
    Progress,
    Released,
    StoredFile,
    Succeeded,
    Usage,
)
from offload_shared.store import cancelling, files, jobs, leases
from offload_shared.store.database import Database
from offload_shared.store.endings import MOST_LOSSES
from offload_shared.store.migrate import migrate
from offload_shared.store.schema import job
from tests.jobs import WORKER, added, claimed, make_due, read, running

CALLERS = 16
ERROR = Failed(Failure.ERROR, "it broke")
CRASH = Failed(Failure.CRASHED, "signal SIGKILL")


def test_one_of_many_concurrent_claims_gets_the_job(database: Database) -> None:
    job_id = added(database)

    with ThreadPoolExecutor(CALLERS) as pool:
        found = list(pool.map(lambda n: claimed(database, job_id, worker=f"w{n}"), range(CALLERS)))

    assert [1] == [claim.attempt for claim in found if claim]


def test_a_job_is_not_claimed_before_its_time(database: Database) -> None:
    assert claimed(database, added(database, delay_seconds=3600)) is None


def test_a_job_is_not_claimed_after_its_deadline(database: Database) -> None:
    assert claimed(database, added(database, deadline_at=datetime.now(UTC) - timedelta(seconds=1))) is None


def test_a_job_of_a_task_the_worker_does_not_know_stays_queued(database: Database) -> None:
    job_id = added(database, task="of-tomorrow")

    assert claimed(database, job_id) is None
    assert JobState.QUEUED == read(database, job_id).state


def test_a_job_of_a_version_the_worker_does_not_know_stays_queued(database: Database) -> None:
    job_id = added(database, task_version=2)

    assert claimed(database, job_id) is None
    assert JobState.QUEUED == read(database, job_id).state


def test_a_heartbeat_prolongs_what_is_held_and_tells_what_is_cancelled(database: Database) -> None:
    kept, wanted = running(database), running(database)
    cancelling.cancel(database, wanted[0])

    answer = leases.heartbeat(database, [kept, wanted, ("0" * 32, 1), (kept[0], 2)], lease_seconds=30)

    assert {kept, wanted} == answer.held
    assert {wanted} == answer.cancelled
    assert {wanted} == leases.cancellations(database, WORKER)


def test_progress_is_stored_for_the_running_attempt_alone(database: Database) -> None:
    job_id, attempt = running(database)

    leases.report(database, {(job_id, attempt): Progress(40.0, "fitting"), (job_id, attempt + 1): Progress(90.0)})

    assert Progress(40.0, "fitting") == read(database, job_id).progress


def test_a_result_is_stored_once_with_its_artifacts_and_usage(database: Database) -> None:
    lease = running(database)
    model = StoredFile("jobs/1/model", "model.onnx", "application/octet-stream", 5, "0" * 64)

    state = leases.finish(database, lease, Succeeded(b'{"x":1}', (model,)), Usage(2.0, 1.5, 300.0))

    found = read(database, lease[0])
    assert JobState.SUCCEEDED == state == found.state
    assert b'{"x":1}' == jobs.result(database, lease[0])
    assert [model] == found.artifacts
    assert model == files.get_artifact(database, lease[0], "model.onnx")
    [ended] = found.attempts
    assert ("succeeded", 2.0, 1.5, 300.0) == (
        ended.outcome,
        ended.wall_seconds,
        ended.cpu_seconds,
        ended.peak_memory_mb,
    )


def test_a_repeated_finish_is_answered_as_the_first(database: Database) -> None:
    lease = running(database)

    first = leases.finish(database, lease, Succeeded(b"1"), Usage())
    second = leases.finish(database, lease, Succeeded(b"1"), Usage())

    assert JobState.SUCCEEDED == first == second
    assert 1 == len(read(database, lease[0]).attempts)


def test_another_end_of_an_ended_attempt_is_refused(database: Database) -> None:
    lease = running(database)
    leases.finish(database, lease, Succeeded(b"1"), Usage())

    assert leases.finish(database, lease, ERROR, Usage()) is None
    assert JobState.SUCCEEDED == read(database, lease[0]).state


def test_a_stale_attempts_result_is_refused(database: Database) -> None:
    job_id, stale = running(database)
    leases.finish(database, (job_id, stale), Released(), Usage())
    claimed(database, job_id)

    assert leases.finish(database, (job_id, stale), Succeeded(b"1"), Usage()) is None
    assert (JobState.RUNNING, 2) == (read(database, job_id).state, read(database, job_id).attempt)


def test_an_error_is_tried_again_later_until_the_attempts_are_used_up(database: Database) -> None:
    job_id, attempt = running(database, max_attempts=2)

    assert JobState.QUEUED == leases.finish(database, (job_id, attempt), ERROR, Usage())
    make_due(database, job_id)
    again = claimed(database, job_id)
    assert again is not None
    assert JobState.FAILED == leases.finish(database, (job_id, again.attempt), ERROR, Usage())

    found = read(database, job_id)
    assert (Failure.ERROR, "it broke", [1, 2]) == (
        found.failure,
        found.detail,
        [each.number for each in found.attempts],
    )


def test_a_job_that_crashes_its_workers_fails_after_three_losses(database: Database) -> None:
    job_id = added(database, max_attempts=20)
    states = []
    for _ in range(MOST_LOSSES):
        make_due(database, job_id)
        found = claimed(database, job_id)
        assert found is not None
        states.append(leases.finish(database, (job_id, found.attempt), CRASH, Usage()))

    assert [JobState.QUEUED, JobState.QUEUED, JobState.FAILED] == states
    assert Failure.CRASHED == read(database, job_id).failure


@pytest.mark.parametrize(
    "failure", [Failure.TIMEOUT, Failure.OUT_OF_MEMORY, Failure.REJECTED, Failure.RESULT_TOO_LARGE]
)
def test_what_would_end_the_same_way_again_is_not_tried_again(database: Database, failure: Failure) -> None:
    assert JobState.FAILED == leases.finish(database, running(database), Failed(failure, "no"), Usage())


def test_a_released_job_is_due_at_once_and_nothing_is_held_against_it(database: Database) -> None:
    job_id = added(database, max_attempts=1)
    for number in range(1, 5):
        found = claimed(database, job_id)
        assert found is not None
        assert number == found.attempt
        assert JobState.QUEUED == leases.finish(database, (job_id, number), Released(), Usage())


@pytest.mark.parametrize("outcome", [ERROR, CRASH, Released(), Cancelled()])
def test_a_cancelled_job_does_not_run_again_however_its_attempt_ends(database: Database, outcome: Outcome) -> None:
    lease = running(database)
    cancelling.cancel(database, lease[0])

    assert JobState.CANCELLED == leases.finish(database, lease, outcome, Usage())


def test_a_success_stands_against_a_cancel_that_came_too_late(database: Database) -> None:
    lease = running(database)
    cancelling.cancel(database, lease[0])

    assert JobState.SUCCEEDED == leases.finish(database, lease, Succeeded(b"1"), Usage())


def test_a_claim_gives_up_on_a_locked_job_while_the_shortest_lease_would_still_hold(postgres_url: str) -> None:
    database = Database(postgres_url)
    migrate(database)
    job_id = added(database)

    def hold(connection: Connection) -> None:
        connection.execute(select(job.c.id).where(job.c.id == job_id).with_for_update())
        with pytest.raises(StoreUnavailable, match="lock timeout"):
            claimed(database, job_id)

    database.write(hold)
    [set_to] = database.read(lambda connection: connection.execute(text("SHOW lock_timeout")).one())
    database.dispose()
    # A worker gives up an attempt that it could not prolong for five sixths of a lease.
    assert float(set_to.removesuffix("s")) < 3 * 5 / 6
