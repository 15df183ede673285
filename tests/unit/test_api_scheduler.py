"""What comes of a schedule's time: by a clock that the test sets, on SQLite."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from offload_api.scheduler import ON_TIME, Scheduler, turn
from offload_api.schedules import Schedules, first_time, merged
from offload_api.settings import ApiSettings
from offload_api.submissions import Submissions
from offload_shared.errors import CommitUnknown
from offload_shared.job import Job
from offload_shared.schedule import Missed, Plan, Schedule
from offload_shared.store import listing, schedules
from offload_shared.store.database import Database
from offload_shared.store.listing import Wanted
from offload_shared.store.migrate import migrate
from offload_shared.tasks.echo import ECHO
from offload_shared.tasks.task import Task

START = datetime(2026, 3, 2, 11, 59, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def at(text: str) -> datetime:
    """Return a time of the day that the tests begin on."""
    return datetime.combine(START.date(), datetime.strptime(text, "%H:%M").time(), UTC)  # noqa: DTZ007


class World:
    """A store with a clock of its own, and the scheduler of one API process."""

    def __init__(self, database: Database, clock: list[float]) -> None:
        self.database = database
        self._clock = clock

    def now(self, moment: datetime) -> None:
        self._clock[0] = moment.timestamp()

    def schedules(self, tasks: dict[str, Task] | None = None, **settings: Any) -> Schedules:
        allowed = ApiSettings(**settings)
        return Schedules(Submissions({"echo": ECHO} if tasks is None else tasks, allowed), allowed)

    def add(self, **body: Any) -> str:
        whole = {"job": {"task": "echo", "payload": {}}, "cron": "0 * * * *", **body}
        new = self.schedules().decode(msgspec.json.encode(whole), None)
        first = lambda now: first_time(new.plan, now)  # noqa: E731
        added = schedules.add_schedule(self.database, new, first_run_at=first, most=100)
        assert added is not None
        return added.schedule.id

    def change(self, schedule_id: str, **patch: Any) -> None:
        changed = self.schedules().change(msgspec.json.encode(patch))
        assert schedules.change_schedule(self.database, schedule_id, changed=changed) is not None

    def step(self, **allowed: Any) -> int:
        max_queued = int(allowed.pop("max_queued", 0))
        return Scheduler(self.database, self.schedules(**allowed), max_queued=max_queued).step()

    def schedule(self, schedule_id: str) -> Schedule:
        found = schedules.get_schedule(self.database, schedule_id)
        assert found is not None
        return found

    def jobs(self, schedule_id: str) -> list[Job]:
        """Return the jobs that a schedule has made, the first of its times first."""
        found = listing.page(self.database, Wanted(schedule_id=schedule_id), size=1000)
        return sorted(found, key=lambda job: job.run_at)

    def times(self, schedule_id: str) -> list[datetime]:
        return [job.run_at for job in self.jobs(schedule_id)]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    clock = [START.timestamp()]
    database = Database(f"sqlite:///{tmp_path / 'offload.db'}", clock=lambda: clock[0])
    migrate(database)
    yield World(database, clock)
    database.dispose()


def test_a_job_is_made_once_its_time_has_come_and_not_before(world: World) -> None:
    made = world.add()

    assert 0 == world.step()
    world.now(at("12:00"))
    assert 1 == world.step()
    assert 0 == world.step()

    [job] = world.jobs(made)
    found = world.schedule(made)
    assert (at("12:00"), "queued", made) == (job.run_at, job.shown_state, job.schedule_id)
    assert (at("12:00"), job.id, at("13:00")) == (found.last_run_at, found.last_job_id, found.next_run_at)


def test_a_time_makes_no_job_where_its_tenant_has_too_many_queued(world: World) -> None:
    made = world.add(cron="* * * * *")
    world.now(at("12:00"))
    world.step(max_queued=1)

    world.now(at("12:01"))
    assert 1 == world.step(max_queued=1)

    found = world.schedule(made)
    assert [at("12:00")] == world.times(made)
    assert (at("12:00"), at("12:02")) == (found.last_run_at, found.next_run_at)
    assert "/problems/too-many-queued" == msgspec.json.decode(found.error or "")["type"]
    world.now(at("12:02"))
    world.step()
    assert world.schedule(made).error is None
    assert [at("12:00"), at("12:02")] == world.times(made)


def test_each_time_has_a_job_of_its_own(world: World) -> None:
    made = world.add(cron="* * * * *")

    for minute in range(5):
        world.now(at("12:00") + minute * MINUTE + timedelta(seconds=20))
        world.step()

    assert [at(f"12:0{minute}") for minute in range(5)] == world.times(made)


def test_times_that_are_late_by_less_than_the_tolerance_are_not_missed(world: World) -> None:
    made = world.add(cron="* * * * *", missed="skip")

    world.now(at("12:00") + ON_TIME - timedelta(seconds=1))
    world.step()
    world.now(at("12:01") + ON_TIME)  # the next has just come as well
    world.step()

    assert [at("12:00"), at("12:02")] == world.times(made)


def test_what_was_missed_is_skipped_and_what_comes_next_is_not(world: World) -> None:
    made = world.add(missed="skip")

    world.now(at("15:20"))
    world.step()
    assert [] == world.jobs(made)
    assert at("16:00") == world.schedule(made).next_run_at

    world.now(at("16:00"))
    world.step()
    assert [at("16:00")] == world.times(made)


def test_a_time_that_has_just_come_is_not_skipped_with_those_that_were_missed(world: World) -> None:
    made = world.add(missed="skip")

    world.now(at("15:00") + timedelta(seconds=5))
    world.step()

    assert [at("15:00")] == world.times(made)


def test_one_job_runs_for_all_that_were_missed(world: World) -> None:
    made = world.add(missed="run_once")

    world.now(at("15:20"))
    assert 1 == world.step()

    [job] = world.jobs(made)
    assert (at("12:00"), at("15:20")) == (job.run_at, job.created_at)
    assert at("16:00") == world.schedule(made).next_run_at


def test_however_many_were_missed_it_takes_no_longer_to_see(world: World) -> None:
    made = world.add(cron="* * * * *", missed="run_once")

    world.now(START + timedelta(days=3 * 366))
    assert 2 >= world.step()

    assert 2 >= len(world.jobs(made))


@pytest.mark.parametrize(("missed", "expected"), [("skip", []), ("run_once", [at("12:00")])])
def test_while_it_is_paused_times_are_missed(world: World, missed: str, expected: list[datetime]) -> None:
    made = world.add(missed=missed)
    world.change(made, paused=True)
    world.now(at("15:20"))
    assert 0 == world.step()

    world.change(made, paused=False)
    world.step()

    assert expected == world.times(made)
    assert at("16:00") == world.schedule(made).next_run_at


def test_another_cron_or_zone_begins_from_now(world: World) -> None:
    made = world.add(missed="run_once")
    world.now(at("15:20"))

    world.change(made, cron="30 * * * *")
    assert at("15:30") == world.schedule(made).next_run_at
    world.change(made, timezone="Asia/Kolkata")
    assert at("16:00") == world.schedule(made).next_run_at
    world.change(made, name="another")
    assert at("16:00") == world.schedule(made).next_run_at
    assert 0 == world.step()


def test_the_clock_put_forward_moves_a_job_and_put_back_makes_no_second(world: World) -> None:
    world.now(datetime(2026, 3, 29, 0, 0, tzinfo=UTC))
    made = world.add(cron="30 2 * * *", timezone="Europe/Berlin")

    for first in (datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 24, tzinfo=UTC)):
        for half_hour in range(3 * 48):
            world.now(first + half_hour * 30 * MINUTE)
            world.step()

    expected = ["03-29T01:00", "03-30T00:30", "03-31T00:30", "10-24T00:30", "10-25T00:30", "10-26T01:30"]
    assert expected == [time.isoformat()[5:16] for time in world.times(made)]


def lost(work: Callable[..., object]) -> None:
    if "fire_due" in work.__qualname__:
        raise CommitUnknown("the store went away inside a commit")


def test_after_a_commit_whose_outcome_is_unknown_no_job_is_made_twice(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [world.add() for _ in range(3)]
    world.now(at("12:00"))
    with monkeypatch.context() as patched:
        patched.setattr("offload_shared.failpoints.written", lost)
        with pytest.raises(CommitUnknown):
            world.step()

    assert 0 == world.step()

    assert [[at("12:00")]] * 3 == [world.times(each) for each in made]


def test_what_is_undone_before_its_commit_is_done_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [world.add() for _ in range(3)]
    world.now(at("12:00"))
    with monkeypatch.context() as patched:
        patched.setattr("offload_shared.failpoints.writing", lost)
        with pytest.raises(CommitUnknown):
            world.step()
    assert [[]] * 3 == [world.jobs(each) for each in made]

    assert 3 == world.step()

    assert [[at("12:00")]] * 3 == [world.times(each) for each in made]


def test_a_clock_that_was_put_back_makes_no_second_job_of_a_time(world: World) -> None:
    made = world.add()
    world.now(at("12:00"))
    world.step()
    first = world.schedule(made).last_job_id

    world.now(at("11:00"))
    world.change(made, cron="@hourly")
    world.now(at("12:00"))
    assert 1 == world.step()

    assert [at("12:00")] == world.times(made)
    assert first == world.schedule(made).last_job_id


class TestWhatIsNotRightAnyMore:
    def test_a_task_that_has_gone_is_told_with_its_schedule_and_holds_up_no_other(self, world: World) -> None:
        gone = world.add()
        other = world.add()
        database = world.database
        database.write(
            lambda connection: connection.exec_driver_sql(
                f'UPDATE schedule SET job = \'{{"task": "gone", "payload": {{}}}}\' WHERE id = \'{gone}\''
            )
        )
        world.now(at("12:00"))

        assert 2 == world.step()

        found = world.schedule(gone)
        assert found.error is not None
        assert "/problems/unknown-task" == msgspec.json.decode(found.error)["type"]
        assert at("13:00") == found.next_run_at
        assert found.last_job_id is None
        assert [at("12:00")] == world.times(other)

    def test_what_the_operator_allows_no_more_is_told_until_it_is_allowed_again(self, world: World) -> None:
        made = world.add(job={"task": "echo", "payload": {}, "timeout_seconds": 60})
        world.now(at("12:00"))
        world.step(max_timeout_seconds=5)
        assert "/timeout_seconds" in str(world.schedule(made).error)
        assert [] == world.jobs(made)

        world.now(at("13:00"))
        world.step()

        assert world.schedule(made).error is None
        assert [at("13:00")] == world.times(made)

    def test_a_time_zone_that_has_gone_ends_the_schedule_until_it_is_changed(self, world: World) -> None:
        made = world.add()
        database = world.database
        database.write(lambda connection: connection.exec_driver_sql("UPDATE schedule SET timezone = 'Old/Zone'"))
        world.now(at("12:00"))
        world.step()
        assert "time zone" in str(world.schedule(made).error)
        assert world.schedule(made).next_run_at is None

        world.change(made, timezone="UTC")

        assert (None, at("13:00")) == (world.schedule(made).error, world.schedule(made).next_run_at)

    def test_a_mistake_of_ours_is_kept_with_the_schedule_that_met_it(self) -> None:
        def broken(_: Schedule, __: datetime) -> Any:
            raise RecursionError

        plan = Plan(job="{}", cron="@hourly", timezone="UTC", missed=Missed.SKIP, paused=False)
        schedule = Schedule(
            id="a",
            tenant="",
            plan=plan,
            version=1,
            created_at=START,
            next_run_at=at("12:00"),
            last_run_at=None,
            last_job_id=None,
            error=None,
        )

        made = turn(schedule, at("12:00"), broken)
        unusable = turn(replace(schedule, plan=replace(plan, cron="nonsense")), at("12:00"), broken)

        assert (None, at("13:00"), True) == (made.job, made.next_run_at, "/problems/internal" in str(made.error))
        assert (None, None, True) == (unusable.job, unusable.next_run_at, "/problems/invalid" in str(unusable.error))


@pytest.mark.parametrize(
    ("target", "patch", "expected"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a"], ["c"], ["c"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "b"}, None, None),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_a_merge_patch_is_taken_as_rfc_7396_says(target: Any, patch: Any, expected: Any) -> None:
    assert expected == merged(target, patch)
