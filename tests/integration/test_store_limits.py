"""Limits that every API process keeps to together, in each kind of store."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, event, update

from offload_shared.errors import StoreUnavailable
from offload_shared.ids import new_id
from offload_shared.job import Failed, Failure, Succeeded, Usage
from offload_shared.schedule import Missed, NewSchedule, Plan, Schedule, Turn
from offload_shared.store import cancelling, jobs, leases, quotas, rates, retries, schedules
from offload_shared.store.clock import clock
from offload_shared.store.database import Database
from offload_shared.store.jobs import Added
from offload_shared.store.migrate import migrate
from offload_shared.store.schema import job, quota, rate
from tests.jobs import claimed, new_job

MOST = 5


def submit(database: Database, number: int = 1, **changes: Any) -> list[Added]:
    return jobs.add(database, [new_job(**changes) for _ in range(number)], max_queued=MOST)


def recount(database: Database) -> None:
    """Let the second pass after which the queued jobs may be counted again."""
    old = update(quota).values(counted_at=clock(-quotas.RECOUNT_SECONDS - 1))
    database.write(lambda connection: connection.execute(old))


class Statements:
    """How many statements with a word in them a store has been sent since."""

    def __init__(self, database: Database, word: str) -> None:
        self.number = 0
        self._word = word
        event.listen(database._engine, "before_cursor_execute", self._note)

    def _note(self, *arguments: Any) -> None:
        self.number += self._word in arguments[2]


@contextmanager
def quota_held(database: Database, *tenants: str) -> Iterator[None]:
    """Let another transaction add jobs of these tenants, and stay open for the length of a `with` block."""
    held, over = threading.Event(), threading.Event()

    def work(connection: Connection) -> None:
        jobs.add_in(database, connection, [new_job(tenant=tenant) for tenant in tenants], MOST)
        held.set()
        over.wait()

    with ThreadPoolExecutor(1) as other:
        added = other.submit(database.write, work)
        try:
            assert held.wait(20)
            yield
        finally:
            over.set()
            added.result()


def refused(answers: list[Added]) -> list[bool]:
    return [answer.refused for answer in answers]


class TestQueuedJobs:
    def test_no_more_are_added_than_the_tenant_may_have_queued(self, database: Database) -> None:
        assert [False] * 3 == refused(submit(database, 3))
        assert [False, False, True] == refused(submit(database, 3))
        assert [True] == refused(submit(database))

    def test_each_tenant_has_its_own_room(self, database: Database) -> None:
        submit(database, MOST, tenant="a")

        both = [new_job(tenant="a"), new_job(tenant="b")]

        assert [True, False] == refused(jobs.add(database, both, max_queued=MOST))

    def test_jobs_that_have_started_make_room(self, database: Database) -> None:
        job_ids = [answer.id for answer in submit(database, MOST)]
        for job_id in job_ids[:2]:
            assert claimed(database, job_id)
        recount(database)

        assert [False, False, True] == refused(submit(database, 3))

    def test_what_waits_to_be_tried_again_takes_room(self, database: Database) -> None:
        [answer] = submit(database)
        found = claimed(database, answer.id)
        assert found is not None
        submit(database, MOST - 1)
        recount(database)
        leases.finish(database, (answer.id, found.attempt), Failed(Failure.ERROR, "x"), Usage())

        assert [True] == refused(submit(database))

    def test_scheduled_jobs_take_room(self, database: Database) -> None:
        submit(database, MOST, delay_seconds=1000)

        assert [True] == refused(submit(database))

    def test_a_repeat_is_answered_also_where_there_is_no_room(self, database: Database) -> None:
        [first] = submit(database, idempotency_key="k", fingerprint="f")
        submit(database, MOST - 1)

        [again] = submit(database, idempotency_key="k", fingerprint="f")

        assert (first.id, True, False) == (again.id, again.replayed, again.refused)

    def test_a_repeat_takes_no_room(self, database: Database) -> None:
        for _ in range(MOST):
            submit(database, idempotency_key="k", fingerprint="f")

        assert [False] * (MOST - 1) == refused(submit(database, MOST - 1))

    def test_a_repeat_leaves_the_room_to_new_jobs_of_the_same_call(self, database: Database) -> None:
        submit(database, MOST - 2, idempotency_key=None)
        [first] = submit(database, idempotency_key="k", fingerprint="f")
        again = new_job(idempotency_key="k", fingerprint="f")
        twice = [new_job(idempotency_key="l", fingerprint="f") for _ in range(2)]

        answers = jobs.add(database, [again, *twice, new_job()], max_queued=MOST)

        assert [first.id, twice[0].id, twice[0].id] == [answer.id for answer in answers[:3]]
        assert [True, False, True, False] == [answer.replayed for answer in answers]
        assert [False, False, False, True] == refused(answers)

    def test_a_repeated_batch_is_answered_also_where_there_is_no_room(self, database: Database) -> None:
        new = [new_job(idempotency_key=f"{n}", fingerprint="f") for n in range(MOST)]
        jobs.add_all(database, new, max_queued=MOST)
        repeated = [new_job(idempotency_key=f"{n}", fingerprint="f") for n in range(MOST)]

        answers = jobs.add_all(database, repeated, max_queued=MOST)

        assert [(each.id, True, False) for each in new] == [(each.id, each.replayed, each.refused) for each in answers]

    def test_a_repeat_whose_room_ends_with_the_first_is_refused_as_it_is(self, database: Database) -> None:
        submit(database, MOST)

        twice = [new_job(idempotency_key="k", fingerprint="f") for _ in range(2)]

        assert [True, True] == refused(jobs.add(database, twice, max_queued=MOST))

    def test_the_queued_jobs_are_counted_once_a_second_also_where_nothing_is_added(
        self, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(quotas, "RECOUNT_SECONDS", 600.0)  # a second that outlasts the test
        submit(database, MOST)
        recount(database)
        counts = Statements(database, "count(")

        for _ in range(3):
            assert all(refused(jobs.add_all(database, [new_job(), new_job()], max_queued=MOST)))
            assert [True] == refused(submit(database))

        assert 1 == counts.number

    def test_a_batch_that_has_no_room_is_added_in_no_part(self, database: Database) -> None:
        answers = jobs.add_all(database, [new_job() for _ in range(MOST + 1)], max_queued=MOST)

        assert any(refused(answers))
        assert [False] * MOST == refused(submit(database, MOST))

    def test_many_who_submit_at_once_have_the_room_together(self, database: Database) -> None:
        def submit_patiently(_: int) -> Added:
            return jobs.add(database, [new_job()], max_queued=MOST, wait=True)[0]

        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(submit_patiently, range(4 * MOST)))

        assert MOST == sum(not answer.refused for answer in answers)

    def test_another_limit_holds_at_once(self, database: Database) -> None:
        submit(database, 3)

        assert [True] == refused(jobs.add(database, [new_job()], max_queued=3))
        assert [False] == refused(jobs.add(database, [new_job()], max_queued=4))

    def test_where_there_is_no_limit_nothing_is_kept_of_it(self, database: Database) -> None:
        jobs.add(database, [new_job()])

        rows = database.read(lambda connection: connection.execute(quota.select()).all())
        [counted] = database.read(lambda connection: connection.execute(job.select()).all())
        assert ([], None) == (rows, counted.quota)

    def test_a_job_ends_as_any_other(self, database: Database) -> None:
        [answer] = submit(database)
        found = claimed(database, answer.id)
        assert found is not None

        assert leases.finish(database, (answer.id, found.attempt), Succeeded(b"{}"), Usage())


class TestBusyTenants:
    """On PostgreSQL alone: SQLite has one writer, whose turn everybody waits for."""

    @pytest.fixture
    def database(self, postgres_url: str) -> Iterator[Database]:
        opened = Database(postgres_url)
        migrate(opened)
        yield opened
        opened.dispose()

    @pytest.mark.parametrize("known", [True, False], ids=["known", "first seen"])
    def test_who_adds_jobs_of_a_tenant_holds_up_nobody_else(self, database: Database, known: bool) -> None:
        if known:
            submit(database, tenant="a")
        both = [new_job(tenant="a"), new_job(tenant="b")]

        with quota_held(database, "a"):
            answers = jobs.add(database, both, max_queued=MOST)
            assert [True, False] == [answer.busy for answer in answers]
        assert jobs.get(database, both[0].id, tenant="a") is None
        assert jobs.get(database, both[1].id, tenant="b")
        assert [False] == [answer.busy for answer in submit(database, tenant="a")]

    def test_a_repeat_of_a_busy_tenant_is_answered_all_the_same(self, database: Database) -> None:
        [first] = submit(database, tenant="a", idempotency_key="k", fingerprint="f")

        with quota_held(database, "a"):
            [again] = submit(database, tenant="a", idempotency_key="k", fingerprint="f")

        assert (first.id, True, False) == (again.id, again.replayed, again.busy)

    def test_a_retry_of_a_busy_tenant_makes_nothing(self, database: Database) -> None:
        [answer] = submit(database, tenant="a")
        cancelling.cancel(database, answer.id, tenant="a")
        again: dict[str, Any] = {"new_id": new_id(), "renewed": lambda new: new, "tenant": "a", "max_queued": MOST}

        with quota_held(database, "a"), pytest.raises(StoreUnavailable):
            retries.retry(database, answer.id, **again)

        assert retries.retry(database, answer.id, **again)

    def test_who_waits_for_a_quota_has_it_as_soon_as_it_is_free_and_does_not_wait_for_ever(
        self, database: Database
    ) -> None:
        both = [new_job(tenant="b"), new_job(tenant="a")]

        with ThreadPoolExecutor(1) as other:
            with quota_held(database, "a"):
                with pytest.raises(StoreUnavailable, match="lock"):
                    jobs.add(database, both, max_queued=MOST, wait=True)
                waiting = other.submit(patiently, lambda: jobs.add_all(database, both, max_queued=MOST))

            assert [False, False] == [answer.busy for answer in waiting.result()]

    def test_a_schedule_of_a_busy_tenant_has_its_turn_later_and_others_have_theirs(self, database: Database) -> None:
        ids = {tenant: due_schedule(database, tenant) for tenant in "ab"}

        def fired() -> dict[str, bool]:
            schedules.fire_due(database, turn, max_queued=MOST)
            found = {tenant: schedules.get_schedule(database, ids[tenant], tenant=tenant) for tenant in ids}
            return {tenant: each is not None and each.last_job_id is not None for tenant, each in found.items()}

        with quota_held(database, "a"):
            assert {"a": False, "b": True} == fired()
        assert {"a": True, "b": True} == fired()


def turn(schedule: Schedule, now: datetime) -> Turn:
    return Turn(job=new_job(tenant=schedule.tenant), next_run_at=now + timedelta(hours=1))


def patiently(call: Callable[[], list[Added]]) -> list[Added]:
    """Return what a call answers once the store takes it: a lock is waited for no longer than 2 seconds."""
    while True:
        with suppress(StoreUnavailable):
            return call()


def due_schedule(database: Database, tenant: str) -> str:
    plan = Plan(job="{}", cron="* * * * *", timezone="UTC", missed=Missed.SKIP, paused=False)
    new = NewSchedule(id=new_id(), plan=plan, tenant=tenant)
    schedules.add_schedule(database, new, first_run_at=lambda now: now - timedelta(seconds=1), most=1)
    return new.id


class TestRequests:
    def test_no_more_are_granted_in_a_minute_than_there_may_be(self, database: Database) -> None:
        first = rates.take(database, {"a": 40}, per_window=60)["a"]
        second = rates.take(database, {"a": 40}, per_window=60)["a"]
        third = rates.take(database, {"a": 40}, per_window=60)["a"]

        assert (40, 20) == (first.granted, first.remaining)
        assert second.granted in (20, 21)  # one comes back each second
        assert third.granted <= 1
        assert 0 <= third.next_seconds <= 1
        assert 58 < second.full_seconds <= 60

    def test_with_time_they_come_back(self, database: Database) -> None:
        rates.take(database, {"a": 60}, per_window=60)
        earlier = update(rate).values(full_at=clock(30))
        database.write(lambda connection: connection.execute(earlier))

        assert rates.take(database, {"a": 60}, per_window=60)["a"].granted in (30, 31)

    def test_each_tenant_has_its_own(self, database: Database) -> None:
        rates.take(database, {"a": 60}, per_window=60)

        grants = rates.take(database, {"b": 1, "a": 5}, per_window=60)

        assert 1 == grants["b"].granted
        assert grants["a"].granted <= 1

    @pytest.mark.parametrize("per_window", [1, 7, 100_000])
    def test_a_full_bucket_holds_exactly_the_quota(self, database: Database, per_window: int) -> None:
        grant = rates.take(database, {"a": 2 * per_window}, per_window=per_window)["a"]

        assert (per_window, 0) == (grant.granted, grant.remaining)

    def test_many_who_take_at_once_get_no_more_together(self, database: Database) -> None:
        with ThreadPoolExecutor(8) as threads:
            grants = threads.map(lambda _: rates.take(database, {"a": 2}, per_window=10)["a"].granted, range(16))

        assert 10 <= sum(grants) <= 12
