"""Flows over HTTP, on each kind of store; the test plays the worker."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from offload_shared.job import Failed, Failure
from tests.acceptance.stack import until
from tests.api import STORES, Api, api_on, problem
from tests.integration.test_api_jobs import UNKNOWN_ID

CHAIN = {
    "first": {"task": "echo", "payload": {"text": "one"}, "tags": ["chain"]},
    "second": {"task": "echo", "payload": {"text": {"$result": "first", "at": "/text"}}},
    "third": {"task": "echo", "payload": {"text": "three"}, "after": ["second"], "if_failed": "run"},
}


@pytest.fixture(scope="module", params=STORES)
def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with api_on(request.param, request, tmp_path_factory.mktemp("api")) as running:
        yield running


def submitted(api: Api, jobs: Any = None, **headers: str) -> httpx2.Response:
    return api.http.post("/v1/flows", json={"jobs": jobs or CHAIN}, headers=headers)


def states(flow: dict[str, Any]) -> dict[str, str]:
    return {name: job["state"] for name, job in flow["jobs"].items()}


def flow_of(api: Api, flow_id: str) -> dict[str, Any]:
    return dict(api.http.get(f"/v1/flows/{flow_id}").raise_for_status().json())


def told(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, problem(answer)["type"]


def once_queued(api: Api, flow: dict[str, Any], name: str) -> str:
    """Return the id of a job of a flow once it is due."""
    until(lambda: "queued" == states(flow_of(api, flow["id"]))[name], f"{name} is due")
    return str(flow["jobs"][name]["id"])


def test_a_flow_is_answered_as_it_is_then_shown_and_its_jobs_are_jobs(api: Api) -> None:
    answer = submitted(api)

    flow = answer.json()
    assert (202, f"/v1/flows/{flow['id']}", "1") == (
        answer.status_code, answer.headers["Location"], answer.headers["Retry-After"]
    )  # fmt: skip
    assert {"first": "queued", "second": "waiting", "third": "waiting"} == states(flow)
    assert [[], ["first"], ["second"]] == [job["after"] for job in flow["jobs"].values()]
    shown = api.http.get(f"/v1/flows/{flow['id']}")
    assert (flow, answer.headers["ETag"]) == (shown.json(), shown.headers["ETag"])
    assert 304 == api.http.get(shown.request.url, headers={"If-None-Match": shown.headers["ETag"]}).status_code
    assert (200, b"") == ((head := api.http.head(shown.request.url)).status_code, head.content)
    waiting = api.job(flow["jobs"]["third"]["id"])
    assert ("waiting", None, flow["id"], "third", f"/v1/flows/{flow['id']}") == (
        waiting["state"], waiting["run_at"], waiting["flow_id"], waiting["step"], waiting["links"]["flow"]
    )  # fmt: skip
    listed = api.http.get(flow["links"]["jobs"]).raise_for_status().json()["jobs"]
    assert ["third", "second", "first"] == [job["step"] for job in listed]


def test_a_client_that_waits_on_another_instance_is_answered_at_the_flows_end(api: Api) -> None:
    flow = submitted(api).json()
    with api.another() as other, ThreadPoolExecutor(1) as pool:
        first = api.http.get(f"/v1/flows/{flow['id']}", headers={"Prefer": "wait=0"}).json()
        assert ("running", None) == (first["state"], first["finished_at"])
        waiting = pool.submit(other.get, f"/v1/flows/{flow['id']}", headers={"Prefer": "wait=30"})

        api.succeed(flow["jobs"]["first"]["id"], b'{"text": "from the first"}')
        second = once_queued(api, flow, "second")
        api.end(second, Failed(Failure.REJECTED, "no"))
        api.succeed(once_queued(api, flow, "third"))

        answer = waiting.result()
    assert ("failed", "wait=30") == (answer.json()["state"], answer.headers["Preference-Applied"])
    assert {"first": "succeeded", "second": "failed", "third": "succeeded"} == states(answer.json())
    assert answer.json()["finished_at"] == answer.json()["jobs"]["third"]["finished_at"]
    assert "retry-after" not in answer.headers


def test_a_skipped_job_says_why_and_is_not_run_again_without_its_input(api: Api) -> None:
    flow = submitted(api).json()
    api.end(flow["jobs"]["first"]["id"], Failed(Failure.REJECTED, "no"))
    third = once_queued(api, flow, "third")

    skipped = api.job(flow["jobs"]["second"]["id"])

    assert ("cancelled", "/problems/job-dependency") == (skipped["state"], skipped["error"]["type"])
    assert "'first'" in skipped["error"]["detail"]
    assert (409, "/problems/job-incomplete") == told(api.http.post(skipped["links"]["retry"]))
    assert 202 == api.http.post(f"/v1/jobs/{flow['jobs']['first']['id']}/retry").status_code
    api.succeed(third)


def test_repeats_of_one_request_from_many_connections_make_one_flow(api: Api) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: submitted(api, **{"Idempotency-Key": "once"}), range(8)))

    assert {202} == {answer.status_code for answer in answers}
    assert 1 == len({answer.json()["id"] for answer in answers})
    assert 1 == sum("Idempotency-Replayed" not in answer.headers for answer in answers)
    other = submitted(api, {"first": CHAIN["first"]}, **{"Idempotency-Key": "once"})
    assert (422, "/problems/idempotency-key-reused") == told(other)


def test_a_flow_with_one_bad_job_leaves_nothing(api: Api) -> None:
    bad = {**CHAIN, "fourth": {"task": "echo", "payload": {"colour": 1}, "after": ["none"], "tags": ["bad"]}}

    answer = submitted(api, {name: {**job, "tags": ["bad"]} for name, job in bad.items()})

    assert (422, "/problems/invalid") == told(answer)
    assert ["/jobs/fourth/after/0", "/jobs/fourth/payload/colour"] == [
        each["pointer"] for each in answer.json()["errors"]
    ]
    assert [] == api.http.get("/v1/jobs", params={"tag": "bad"}).json()["jobs"]


def test_a_cancel_takes_every_job_that_has_not_ended(api: Api) -> None:
    flow = submitted(api).json()
    lease = api.start(flow["jobs"]["first"]["id"])
    cancel = flow["links"]["cancel"]

    requested = api.http.post(cancel)
    assert (202, {"first": "running", "second": "cancelled", "third": "cancelled"}) == (
        requested.status_code, states(requested.json())
    )  # fmt: skip
    api.finish(lease, Failed(Failure.ERROR, "stopped"))

    done = api.http.post(cancel)
    assert (200, "cancelled") == (done.status_code, done.json()["state"])
    ended = submitted(api, {"first": CHAIN["first"]}).json()
    api.succeed(ended["jobs"]["first"]["id"])
    assert (409, "/problems/flow-finished") == told(api.http.post(f"/v1/flows/{ended['id']}/cancel"))


def test_a_job_that_others_wait_for_is_not_removed(api: Api) -> None:
    jobs = {**CHAIN, "other": CHAIN["first"], "third": {**CHAIN["third"], "after": ["first", "other"]}}
    flow = submitted(api, jobs).json()
    first = flow["jobs"]["first"]["id"]
    api.succeed(first)
    once_queued(api, flow, "second")

    assert (409, "/problems/job-needed") == told(api.http.delete(f"/v1/jobs/{first}"))
    api.http.post(flow["links"]["cancel"])
    assert 204 == api.http.delete(f"/v1/jobs/{first}").status_code
    assert "first" not in flow_of(api, flow["id"])["jobs"]


@pytest.mark.parametrize("path", ["", "/cancel"])
def test_a_flow_of_nobody_is_not_found(api: Api, path: str) -> None:
    method = "POST" if path else "GET"
    for flow_id in (UNKNOWN_ID, "nonsense"):
        assert (404, "/problems/not-found") == told(api.http.request(method, f"/v1/flows/{flow_id}{path}"))
