from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from sqlalchemy import event

from offload_shared.job import JobState
from offload_shared.store import cancelling, jobs
from offload_shared.store.cancelling import CancelAnswer
from offload_shared.store.database import Database
from tests.jobs import added, claimed, new_job, read, running

CALLERS = 16


def test_an_added_job_is_queued_with_no_attempt(database: Database) -> None:
    found = read(database, added(database, priority=7))

    assert (JobState.QUEUED, 0, 7, "queued") == (found.state, found.attempt, found.priority, found.shown_state)


def test_a_job_of_later_is_shown_as_scheduled(database: Database) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)

    assert "scheduled" == read(database, added(database, run_at=later)).shown_state
    assert "scheduled" == read(database, added(database, delay_seconds=3600)).shown_state


def test_the_same_key_with_the_same_body_names_the_first_job(database: Database) -> None:
    first = added(database, idempotency_key="k", fingerprint="a")

    [again] = jobs.add(database, [new_job(idempotency_key="k", fingerprint="a")])

    assert (first, True, False) == (again.id, again.replayed, again.conflict)


def test_the_same_key_with_another_body_adds_nothing(database: Database) -> None:
    added(database, idempotency_key="k", fingerprint="a")
    other = new_job(idempotency_key="k", fingerprint="b")

    [answer] = jobs.add(database, [other])

    assert answer.conflict
    assert jobs.get(database, other.id) is None


def test_the_same_key_twice_in_one_call_makes_one_job(database: Database) -> None:
    first, second = jobs.add(database, [new_job(idempotency_key="k", fingerprint="a") for _ in range(2)])

    assert first.id == second.id
    assert [False, True] == [first.replayed, second.replayed]


def test_however_many_are_repeated_in_one_call_they_are_looked_up_at_once(database: Database) -> None:
    new = [new_job(tenant=f"t{n % 2}", idempotency_key=f"k{n}", fingerprint="a") for n in range(50)]
    repeated = [new_job(tenant=each.tenant, idempotency_key=each.idempotency_key, fingerprint="a") for each in new]
    jobs.add(database, new)
    statements: list[str] = []
    event.listen(
        database._engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2].split()[0])
    )

    answers = jobs.add(database, repeated)

    assert [each.id for each in new] == [each.id for each in answers]
    assert 1 == statements.count("SELECT")


def test_tenants_do_not_share_keys_nor_see_each_others_jobs(database: Database) -> None:
    mine = added(database, tenant="a", idempotency_key="k", fingerprint="x")
    theirs = added(database, tenant="b", idempotency_key="k", fingerprint="x")

    assert mine != theirs
    assert jobs.get(database, mine, tenant="b") is None
    assert CancelAnswer.NOT_FOUND == cancelling.cancel(database, mine, tenant="b")


def test_concurrent_repeats_of_a_key_make_one_job(database: Database) -> None:
    def submit(_: int) -> str:
        return jobs.add(database, [new_job(idempotency_key="k", fingerprint="a")])[0].id

    with ThreadPoolExecutor(CALLERS) as pool:
        ids = set(pool.map(submit, range(CALLERS * 4)))

    assert 1 == len(ids)


def test_a_queued_job_is_cancelled_at_once_and_never_runs(database: Database) -> None:
    job_id = added(database)

    assert CancelAnswer.CANCELLED == cancelling.cancel(database, job_id)
    assert claimed(database, job_id) is None
    assert JobState.CANCELLED == read(database, job_id).state
    assert CancelAnswer.CANCELLED == cancelling.cancel(database, job_id)


def test_a_running_job_is_asked_to_end(database: Database) -> None:
    job_id, _ = running(database)

    assert CancelAnswer.REQUESTED == cancelling.cancel(database, job_id)
    found = read(database, job_id)
    assert (JobState.RUNNING, True) == (found.state, found.cancel_requested)


def test_every_change_of_a_job_raises_its_version(database: Database) -> None:
    job_id = added(database)
    versions = [jobs.versions(database, [job_id])[job_id]]

    claimed(database, job_id)
    versions.append(jobs.versions(database, [job_id])[job_id])
    cancelling.cancel(database, job_id)
    versions.append(jobs.versions(database, [job_id])[job_id])

    assert sorted(set(versions)) == versions
