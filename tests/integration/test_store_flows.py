"""Flows on each kind of store: jobs that follow others run once these have ended, and once."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest
from sqlalchemy import update

from offload_shared.ids import new_id
from offload_shared.job import Failed, Failure, IfFailed, JobState, NewJob, Outcome, Step, Succeeded, Usage
from offload_shared.store import cancelling, deletion, flows, hints, leases, listing, recovery, releases, retries
from offload_shared.store.cancelling import CancelAnswer
from offload_shared.store.clock import clock
from offload_shared.store.database import Database
from offload_shared.store.deletion import DeleteAnswer
from offload_shared.store.jobs import Added
from offload_shared.store.schema import job
from tests.jobs import claimed, new_job, read

DONE = Succeeded(b'{"score": 0.5}')
BROKEN = Failed(Failure.REJECTED, "no")


class Flow:
    """A flow in the store, its jobs by their names."""

    def __init__(self, database: Database, *jobs: NewJob) -> None:
        self.database = database
        self.ids = {each.step.name: each.id for each in jobs if each.step}
        self.id = jobs[0].step.flow_id if jobs[0].step else ""
        self.added = flows.add(database, jobs)

    def run(self, name: str, outcome: Outcome = DONE) -> None:
        """Claim a job and end it, as a worker does."""
        found = claimed(self.database, self.ids[name])
        assert found is not None, f"{name} is not due"
        leases.finish(self.database, (found.id, found.attempt), outcome, Usage())

    def states(self) -> dict[str, str]:
        return {each.job.step or "": each.job.shown_state for each in flows.get_flow(self.database, self.id)}


def chained(database: Database, after: Mapping[str, Sequence[str]], **changes: Any) -> Flow:
    """Add a flow; `after` has the names that each job follows, in an order in which none comes before those."""
    flow_id, ids = new_id(), dict(zip(after, sorted(new_id() for _ in after), strict=True))
    payload, if_failed = changes.pop("payload", {}), changes.pop("if_failed", {})

    def made(name: str, before: Sequence[str]) -> NewJob:
        how = if_failed.get(name, IfFailed.SKIP)
        step = Step(flow_id=flow_id, name=name, after=tuple(ids[each] for each in before), if_failed=how)
        said = {"$result": ids[payload[name][0]], "at": payload[name][1]} if name in payload else {}
        return new_job(id=ids[name], step=step, payload=msgspec.json.encode({"text": said}).decode(), **changes)

    return Flow(database, *(made(name, before) for name, before in after.items()))


def released(database: Database) -> list[str]:
    """Tell of all ends there are; returns the jobs that are due by it."""
    due = list[str]()
    while (answer := releases.release(database)).ends:
        due += [hint.job_id for hint in answer.due]
    return due


def test_a_job_runs_once_all_that_it_follows_have_ended(database: Database) -> None:
    flow = chained(database, {"a": [], "b": [], "both": ["a", "b"]})
    assert {"a": "queued", "b": "queued", "both": "waiting"} == flow.states()

    flow.run("a")
    assert [] == released(database)
    assert claimed(database, flow.ids["both"]) is None
    flow.run("b")

    assert [flow.ids["both"]] == released(database)
    assert "queued" == flow.states()["both"]
    flow.run("both")
    assert {"a": "succeeded", "b": "succeeded", "both": "succeeded"} == flow.states()


def test_a_job_that_waits_is_no_hint_no_backlog_and_none_of_a_queue_without_a_broker(database: Database) -> None:
    flow = chained(database, {"a": [], "b": ["a"]})

    assert [flow.ids["a"]] == [hint.job_id for hint in hints.due(database, "cpu", tasks=[("probe", 1)], limit=9)]
    assert {"cpu": 1} == hints.backlog(database)
    flow.run("a")
    released(database)
    assert [flow.ids["b"]] == [hint.job_id for hint in hints.due(database, "cpu", tasks=[("probe", 1)], limit=9)]


@pytest.mark.parametrize(("at", "expected"), [("/score", 0.5), ("", {"score": 0.5})])
def test_a_job_takes_the_result_of_one_that_it_follows(database: Database, at: str, expected: Any) -> None:
    flow = chained(database, {"a": [], "b": ["a"]}, payload={"b": ("a", at)})

    flow.run("a")
    released(database)

    taken = claimed(database, flow.ids["b"])
    assert taken is not None
    assert {"text": expected} == msgspec.json.decode(taken.payload)


@pytest.mark.parametrize(
    ("at", "if_failed", "outcome"),
    [("/none", IfFailed.SKIP, DONE), ("/score", IfFailed.RUN, BROKEN)],
)
def test_a_result_that_is_not_there_fails_who_wants_it(
    database: Database, at: str, if_failed: IfFailed, outcome: Outcome
) -> None:
    flow = chained(database, {"a": [], "b": ["a"]}, payload={"b": ("a", at)}, if_failed={"b": if_failed})

    flow.run("a", outcome)
    released(database)

    ended = read(database, flow.ids["b"])
    assert (JobState.FAILED, Failure.REJECTED) == (ended.state, ended.failure)
    assert "the payload's /text refers to" in (ended.detail or "")


@pytest.mark.parametrize(
    ("if_failed", "expected"),
    [
        (IfFailed.SKIP, {"b": "cancelled", "c": "cancelled", "cleanup": "queued"}),
        (IfFailed.FAIL, {"b": "failed", "c": "cancelled", "cleanup": "queued"}),
        (IfFailed.RUN, {"b": "queued", "c": "waiting", "cleanup": "waiting"}),
    ],
)
def test_what_follows_a_job_that_fails_ends_or_runs_as_asked(
    database: Database, if_failed: IfFailed, expected: dict[str, str]
) -> None:
    after = {"a": [], "b": ["a"], "c": ["b"], "cleanup": ["c"]}
    flow = chained(database, after, if_failed={"b": if_failed, "cleanup": IfFailed.RUN})

    flow.run("a", BROKEN)
    released(database)

    assert {"a": "failed", **expected} == flow.states()
    if if_failed is not IfFailed.RUN:
        told = read(database, flow.ids["b"])
        assert (Failure.DEPENDENCY, 0) == (told.failure, told.attempt)
        assert "'a', which this job was to follow, has not succeeded" == told.detail


def test_ends_that_are_told_by_many_at_once_release_a_job_once(database: Database) -> None:
    first = [f"a{number}" for number in range(12)]
    flow = chained(database, {**{name: [] for name in first}, "last": first})
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(flow.run, first))
        found = list(pool.map(lambda _: released(database), range(6)))

    assert [flow.ids["last"]] == [job_id for each in found for job_id in each]
    assert claimed(database, flow.ids["last"]) is not None


def test_an_attempt_that_is_lost_for_good_is_told_of_as_any_end_is(database: Database) -> None:
    flow = chained(database, {"a": [], "b": ["a"]})
    for _ in range(3):
        assert claimed(database, flow.ids["a"], lease_seconds=-1) is not None
        recovery.end_lost(database)
        let_it_be_due(database, flow.ids["a"])

    released(database)

    assert {"a": "failed", "b": "cancelled"} == flow.states()


def let_it_be_due(database: Database, job_id: str) -> None:
    mine = (job.c.id == job_id) & (job.c.state == JobState.QUEUED)
    database.write(lambda connection: connection.execute(update(job).where(mine).values(run_at=clock(-1))))


def test_a_cancel_of_one_job_ends_those_behind_it(database: Database) -> None:
    flow = chained(database, {"a": [], "b": ["a"], "c": ["b"]})

    assert CancelAnswer.CANCELLED == cancelling.cancel(database, flow.ids["b"])
    released(database)
    flow.run("a")

    assert [] == released(database)
    assert {"a": "succeeded", "b": "cancelled", "c": "cancelled"} == flow.states()


def test_a_cancel_takes_the_whole_flow(database: Database) -> None:
    flow = chained(database, {"done": [], "runs": [], "waits": ["done", "runs"], "last": ["waits"]})
    flow.run("done")
    runs = claimed(database, flow.ids["runs"])
    assert runs is not None

    assert CancelAnswer.NOT_FOUND == cancelling.cancel_flow(database, flow.id, tenant="another")
    assert CancelAnswer.REQUESTED == cancelling.cancel_flow(database, flow.id)

    assert {"done": "succeeded", "runs": "running", "waits": "cancelled", "last": "cancelled"} == flow.states()
    assert read(database, runs.id).cancel_requested
    leases.finish(database, (runs.id, runs.attempt), BROKEN, Usage())
    assert [] == released(database)
    assert CancelAnswer.CANCELLED == cancelling.cancel_flow(database, flow.id)
    assert "cancelled" == flow.states()["runs"]


def test_a_job_is_kept_for_as_long_as_another_waits_for_it(database: Database) -> None:
    flow = chained(database, {"a": [], "b": [], "both": ["a", "b"]}, result_ttl_seconds=0.001)
    flow.run("a")
    released(database)

    assert 0 == deletion.expire(database)
    assert DeleteAnswer.NEEDED == deletion.delete_job(database, flow.ids["a"])
    flow.run("b")
    released(database)

    assert DeleteAnswer.DELETED == deletion.delete_job(database, flow.ids["a"])
    assert ["b", "both"] == list(flow.states())
    assert [["b"]] == [each.after for each in flows.get_flow(database, flow.id)][1:]


def test_a_flow_is_added_once_for_one_key(database: Database) -> None:
    def flow(key: str, fingerprint: str) -> list[NewJob]:
        ids = sorted(new_id() for _ in range(3))
        steps = [Step(flow_id=new_id(), name=f"{number}", after=tuple(ids[:number])) for number in range(3)]
        jobs = [new_job(id=each, step=step) for each, step in zip(ids, steps, strict=True)]
        return [msgspec.structs.replace(jobs[0], idempotency_key=key, fingerprint=fingerprint), *jobs[1:]]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: flows.add(database, flow("key", "mark")), range(8)))

    [first] = [each for each in answers if len(each) == 3]
    again = Added(first[0].id, replayed=True)
    assert [[again]] * 7 == [each for each in answers if len(each) == 1]
    assert [Added(first[0].id, conflict=True)] == flows.add(database, flow("key", "other mark"))
    assert 3 == len(listing.page(database, listing.Wanted(), size=50))


def test_a_flow_without_room_for_all_is_not_added_at_all(database: Database) -> None:
    ids = sorted(new_id() for _ in range(3))
    steps = [Step(flow_id=new_id(), name=each) for each in ids]
    jobs = [new_job(id=each, step=step, tenant="t") for each, step in zip(ids, steps, strict=True)]

    [answer] = flows.add(database, jobs, max_queued=2)

    assert answer.refused
    assert [] == listing.page(database, listing.Wanted(tenant="t"), size=50)


def test_jobs_are_listed_by_their_flow_and_as_waiting(database: Database) -> None:
    flow = chained(database, {"a": [], "b": ["a"]})
    chained(database, {"a": []})

    def found(**wanted: Any) -> list[str | None]:
        return [each.step for each in listing.page(database, listing.Wanted(**wanted), size=50)]

    assert ["b", "a"] == found(flow_id=flow.id)
    assert (["b"], [], 2) == (found(state="waiting"), found(state="scheduled"), len(found(state="queued")))


def test_a_job_that_ended_before_its_input_was_there_is_not_retried(database: Database) -> None:
    flow = chained(database, {"a": [], "b": ["a"]}, payload={"b": ("a", "/score")})
    flow.run("a", BROKEN)
    released(database)

    refusal = retries.retry(database, flow.ids["b"], new_id=new_id(), renewed=lambda new: new)

    assert retries.RetryRefusal.NOT_WHOLE == refusal
