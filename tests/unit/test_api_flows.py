"""Flows as they are submitted: what is taken, and what is refused, with where it is wrong."""

import json
from typing import Any

import pytest

from offload_api.flows import Flows
from offload_api.problems import Problem
from offload_api.settings import ApiSettings
from offload_api.submissions import Submissions
from offload_shared import tasks
from offload_shared.job import IfFailed, NewJob


@pytest.fixture(scope="module")
def flows() -> Flows:
    return Flows(Submissions(tasks.registry(), ApiSettings()))


def echo(text: Any = "x", **more: Any) -> dict[str, Any]:
    return {"task": "echo", "payload": {"text": text}, **more}


def decoded(flows: Flows, jobs: Any, key: str | None = None) -> list[NewJob]:
    return flows.decode(json.dumps({"jobs": jobs}).encode(), key, "a-tenant")


def refused(flows: Flows, jobs: Any) -> dict[str, str]:
    with pytest.raises(Problem) as problem:
        decoded(flows, jobs)
    assert 422 == problem.value.details.status
    return {error.pointer: error.detail for error in problem.value.details.errors}


def names(jobs: list[NewJob]) -> list[str]:
    return [job.step.name for job in jobs if job.step]


def test_jobs_come_after_those_they_follow_and_their_ids_in_the_same_order(flows: Flows) -> None:
    jobs = decoded(flows, {"last": echo(after=["left", "right"]), "left": echo(after=["first"]), "first": echo()} | {
        "right": echo(after=["first"], if_failed="run", priority=7)
    })  # fmt: skip

    assert ("first", "last") == (names(jobs)[0], names(jobs)[-1])
    assert sorted(job.id for job in jobs) == [job.id for job in jobs]
    of = {job.step.name: job for job in jobs if job.step}
    assert {of["left"].id, of["right"].id} == set(of["last"].step.after if of["last"].step else ())
    assert (7, "a-tenant", IfFailed.RUN) == (
        of["right"].priority, of["right"].tenant, of["right"].step and of["right"].step.if_failed
    )  # fmt: skip
    assert 1 == len({job.step.flow_id for job in jobs if job.step})


def test_what_a_payload_refers_to_is_followed_without_being_named_twice(flows: Flows) -> None:
    first, second = decoded(flows, {"second": echo({"$result": "first", "at": "/text"}), "first": echo()})

    assert second.step is not None
    assert (first.id,) == second.step.after
    assert {"text": {"$result": first.id, "at": "/text"}} == json.loads(second.payload)


def test_a_reference_to_a_job_is_its_id_and_the_payload_is_as_its_task_wants_it(flows: Flows) -> None:
    first, second = decoded(flows, {
        "train": echo(),
        "predict": {"task": "predict", "payload": {
            "model": {"job": {"$job": "train"}, "name": "model.onnx"}, "rows": [{"a": 1}],
        }},
    })  # fmt: skip

    assert {"job": first.id, "name": "model.onnx"} == json.loads(second.payload)["model"]


def test_only_the_first_job_carries_the_key_and_its_mark_is_the_flows(flows: Flows) -> None:
    one, other = (decoded(flows, {"a": echo(), "b": echo(text, after=["a"])}, "key") for text in ("x", "y"))

    assert [True, False] == [job.idempotency_key is not None for job in one]
    assert one[0].idempotency_key == other[0].idempotency_key
    assert one[0].fingerprint != other[0].fingerprint
    assert one[0].fingerprint == decoded(flows, {"b": echo(after=["a"]), "a": echo()}, "key")[0].fingerprint


def test_times_are_those_of_the_jobs_that_follow_no_other(flows: Flows) -> None:
    times = {"delay_seconds": 60, "deadline": "2090-01-01T00:00:00Z"}
    body = json.dumps({"jobs": {"a": echo(), "b": echo(after=["a"])}, **times}).encode()

    first, second = flows.decode(body, None)

    assert [(60.0, True), (0.0, False)] == [(job.delay_seconds, job.deadline_at is not None) for job in (first, second)]
    with pytest.raises(Problem, match="excludes `run_at`"):
        flows.decode(json.dumps({"jobs": {"a": echo()}, "run_at": "2090-01-01T00:00:00Z", **times}).encode(), None)


def test_jobs_that_wait_for_each_other_are_told_which_they_are(flows: Flows) -> None:
    found = refused(flows, {"a": echo(after=["c"]), "b": echo({"$job": "a"}), "c": echo(after=["b"]), "d": echo()})

    assert ["/jobs"] == list(found)
    assert {"a", "b", "c"} == set(found["/jobs"].partition(": ")[2].split(" after "))


@pytest.mark.parametrize(
    ("jobs", "where"),
    [
        ({"a": echo(after=["b"])}, ["/jobs/a/after/0"]),
        ({"a": echo({"$job": "b"})}, ["/jobs/a/payload/text"]),
        ({"a": echo({"$job": "a", "at": ""})}, ["/jobs/a/payload/text"]),
        ({"a": echo(5), "b": echo(after=["a"], if_failed="stop")}, ["/jobs/b/if_failed"]),
        ({"a": echo(5), "b": echo({"$result": "a"}, timeout_seconds=5)}, ["/jobs/a/payload/text"]),
        (
            {"a": echo(), "b": {"task": "echo", "payload": {"text": {"$result": "a"}, "txt": 1}}},
            ["/jobs/b/payload/txt"],
        ),
        ({"a": {"task": "none", "payload": {}}}, ["/jobs/a/task"]),
        ({"a": {"task": "echo", "payload": []}}, ["/jobs/a/payload"]),
        ({"a": echo(run_at="2030-01-01T00:00:00Z")}, ["/jobs/a/run_at"]),
        ({"a": echo(callback_url="http://127.0.0.1/")}, ["/jobs/a/callback_url"]),
        ({"no name": echo()}, ["/jobs"]),
        ({}, ["/jobs"]),
        ([echo()], ["/jobs"]),
        (dict.fromkeys(map(str, range(1001)), echo()), ["/jobs"]),
    ],
)
def test_what_is_wrong_with_a_job_is_told_where_it_is(flows: Flows, jobs: Any, where: list[str]) -> None:
    assert where == list(refused(flows, jobs))
