"""Jobs over HTTP, on each kind of store."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from datetime import UTC, datetime, timedelta
from functools import partial
from statistics import median

import httpx2
import pytest
from sqlalchemy import func, select

from offload_shared.job import Cancelled, Failed, Failure, Progress, Succeeded, Usage
from offload_shared.store import leases
from offload_shared.store.schema import job as job_table
from tests.api import STORES, Api, Waiting, api_on, problem

UNKNOWN_ID = "0" * 32


@pytest.fixture(scope="module", params=STORES)
def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One API on each kind of store; no test minds the jobs of the others."""
    with api_on(request.param, request, tmp_path_factory.mktemp("api")) as running:
        yield running


@pytest.fixture(scope="module")
def other(api: Api) -> Iterator[httpx2.Client]:
    """A client of another API process on the same store."""
    with api.another() as client:
        yield client


def count(api: Api) -> int:
    statement = select(func.count()).select_from(job_table)
    return int(api.database.read(lambda connection: connection.execute(statement).scalar_one()))


def test_a_submitted_job_is_answered_202_with_its_address_and_its_state(api: Api) -> None:
    answer = api.http.post("/v1/jobs", json={"task": "echo", "payload": {"text": "hi"}, "priority": 3})

    body = answer.json()
    assert 202 == answer.status_code
    assert f"/v1/jobs/{body['id']}" == answer.headers["location"] == body["links"]["self"]
    assert "1" == answer.headers["retry-after"]
    assert ("echo", "queued", 0, 3) == (body["task"], body["state"], body["attempt"], body["priority"])
    assert body == api.job(body["id"])


def test_options_reach_the_store(api: Api) -> None:
    run_at = datetime.now(UTC) + timedelta(hours=1)
    deadline = run_at + timedelta(hours=1)

    body = api.submit(
        run_at=run_at.isoformat(),
        deadline=deadline.isoformat(),
        timeout_seconds=5,
        memory_limit_mb=64,
        cpu_limit_seconds=2.5,
        max_attempts=7,
    )

    assert ("scheduled", 5, 64, 2.5, 7) == (
        body["state"],
        body["timeout_seconds"],
        body["memory_limit_mb"],
        body["cpu_limit_seconds"],
        body["max_attempts"],
    )
    assert (run_at, deadline) == (datetime.fromisoformat(body["run_at"]), datetime.fromisoformat(body["deadline"]))
    assert body == api.job(body["id"])


def test_without_a_limit_of_processor_time_job_and_task_say_null(api: Api) -> None:
    assert api.submit()["cpu_limit_seconds"] is None
    assert api.http.get("/v1/tasks/echo").json()["cpu_limit_seconds"] is None


def test_a_delayed_job_is_scheduled_and_says_when_to_ask_again(api: Api) -> None:
    answer = api.http.post("/v1/jobs", json={"task": "echo", "payload": {}, "delay_seconds": 40})

    assert "scheduled" == answer.json()["state"]
    assert "40" == answer.headers["retry-after"]


def test_a_repeat_of_a_key_answers_the_same_job_and_says_so(api: Api) -> None:
    before = count(api)
    body = {"task": "echo", "payload": {"text": "once"}}
    first = api.http.post("/v1/jobs", json=body, headers={"Idempotency-Key": "k-1"})
    api.succeed(first.json()["id"])

    again = api.http.post("/v1/jobs", json=body, headers={"Idempotency-Key": "k-1"})

    assert [202, 202] == [first.status_code, again.status_code]
    assert first.json()["id"] == again.json()["id"]
    assert "idempotency-replayed" not in first.headers
    assert "true" == again.headers["idempotency-replayed"]
    assert "succeeded" == again.json()["state"]
    assert 1 == count(api) - before


def test_a_repeat_may_be_written_differently_so_long_as_it_says_the_same(api: Api) -> None:
    headers = {"Idempotency-Key": "k-2", "Content-Type": "application/json"}
    first = api.http.post("/v1/jobs", content=b'{"task":"echo","payload":{"text":"a"},"priority":0}', headers=headers)

    again = api.http.post("/v1/jobs", content=b'{ "payload": {"text": "\\u0061"}, "task": "echo" }', headers=headers)

    assert first.json()["id"] == again.json()["id"]


def test_a_key_used_for_another_body_is_refused(api: Api) -> None:
    headers = {"Idempotency-Key": "k-3"}
    before = count(api)
    api.http.post("/v1/jobs", json={"task": "echo", "payload": {"text": "one"}}, headers=headers)

    answer = api.http.post("/v1/jobs", json={"task": "echo", "payload": {"text": "two"}}, headers=headers)

    assert 422 == answer.status_code
    assert "/problems/idempotency-key-reused" == problem(answer)["type"]
    assert 1 == count(api) - before


def test_many_concurrent_repeats_of_a_key_to_two_apis_make_one_job(api: Api, other: httpx2.Client) -> None:
    before = count(api)

    def submit(number: int) -> httpx2.Response:
        body = {"task": "echo", "payload": {"text": "once"}}
        return (api.http, other)[number % 2].post("/v1/jobs", json=body, headers={"Idempotency-Key": "together"})

    with ThreadPoolExecutor(24) as threads:
        answers = list(threads.map(submit, range(120)))

    assert {202} == {answer.status_code for answer in answers}
    assert 1 == len({answer.json()["id"] for answer in answers})
    assert 119 == sum("idempotency-replayed" in answer.headers for answer in answers)
    assert 1 == count(api) - before


def test_many_concurrent_submits_each_make_their_own_job(api: Api) -> None:
    before = count(api)

    with ThreadPoolExecutor(24) as threads:
        bodies = list(threads.map(lambda number: api.submit(payload={"text": str(number)}), range(240)))

    assert 240 == len({body["id"] for body in bodies}) == count(api) - before


def test_a_job_is_shown_with_its_attempts_progress_and_links(api: Api) -> None:
    job_id = api.submit("probe", {"action": "return"})["id"]
    lease = api.start(job_id)
    leases.report(api.database, {lease: Progress(40, "four of ten")})

    body = api.job(job_id)

    assert ("running", 1, {"percent": 40, "message": "four of ten"}) == (
        body["state"],
        body["attempt"],
        body["progress"],
    )
    here = f"/v1/jobs/{job_id}"
    assert {"self": here, **{name: f"{here}/{name}" for name in ("events", "cancel", "output")}} == body["links"]


def test_a_succeeded_job_gives_its_result_as_it_was_stored(api: Api) -> None:
    job_id = api.submit()["id"]
    api.succeed(job_id, b'{"text": "as  it was"}')

    answer = api.http.get(f"/v1/jobs/{job_id}/result")
    body = api.job(job_id)

    assert (200, b'{"text": "as  it was"}') == (answer.status_code, answer.content)
    assert "application/json" == answer.headers["content-type"]
    assert f"/v1/jobs/{job_id}/result" == body["links"]["result"]
    [attempt] = body["attempts"]
    assert ("succeeded", 0.5, 0.25, None) == (
        attempt["outcome"],
        attempt["wall_seconds"],
        attempt["cpu_seconds"],
        attempt["error"],
    )


def test_a_result_that_is_not_there_yet_is_404_with_retry_after(api: Api) -> None:
    answer = api.http.get(f"/v1/jobs/{api.submit()['id']}/result")

    assert (404, "1") == (answer.status_code, answer.headers["retry-after"])
    assert "/problems/result-not-ready" == problem(answer)["type"]


def test_the_result_of_a_failed_job_is_409_with_its_error(api: Api) -> None:
    job_id = api.submit("probe", {})["id"]
    api.end(job_id, Failed(Failure.TIMEOUT, "it took longer than 5 s"))

    answer = api.http.get(f"/v1/jobs/{job_id}/result")

    assert 409 == answer.status_code
    assert ("/problems/job-timeout", "it took longer than 5 s") == (problem(answer)["type"], problem(answer)["detail"])
    assert "/problems/job-timeout" == api.job(job_id)["error"]["type"]


@pytest.mark.parametrize("failure", Failure)
def test_each_way_to_fail_has_its_own_problem_type(api: Api, failure: Failure) -> None:
    job_id = api.submit("probe", {})["id"]
    api.end(job_id, Failed(failure, "it failed"))

    [attempt] = api.job(job_id)["attempts"]

    assert (failure.value, "it failed") == (attempt["failure"], attempt["error"]["detail"])
    assert f"/problems/job-{failure.value.replace('_', '-')}" == attempt["error"]["type"]


def test_the_result_of_a_cancelled_job_is_409(api: Api) -> None:
    job_id = api.submit()["id"]
    api.http.post(f"/v1/jobs/{job_id}/cancel")

    answer = api.http.get(f"/v1/jobs/{job_id}/result")

    assert (409, "/problems/job-cancelled") == (answer.status_code, problem(answer)["type"])


def test_cancelling_a_queued_job_ends_it_at_once_and_again_changes_nothing(api: Api) -> None:
    job_id = api.submit()["id"]

    answers = [api.http.post(f"/v1/jobs/{job_id}/cancel") for _ in range(2)]

    assert [200, 200] == [answer.status_code for answer in answers]
    assert ["cancelled", "cancelled"] == [answer.json()["state"] for answer in answers]


def test_cancelling_a_running_job_is_202_until_its_worker_has_ended_it(api: Api) -> None:
    job_id = api.submit("probe", {})["id"]
    lease = api.start(job_id)

    answer = api.http.post(f"/v1/jobs/{job_id}/cancel")

    assert (202, "running", True) == (answer.status_code, answer.json()["state"], answer.json()["cancel_requested"])
    leases.finish(api.database, lease, Cancelled(), Usage())
    assert "cancelled" == api.job(job_id)["state"]


def test_cancelling_a_finished_job_is_409(api: Api) -> None:
    job_id = api.submit()["id"]
    api.succeed(job_id)

    answer = api.http.post(f"/v1/jobs/{job_id}/cancel")

    assert (409, "/problems/job-finished") == (answer.status_code, problem(answer)["type"])


@pytest.mark.parametrize("job_id", [UNKNOWN_ID, "x", "%00", "A" * 32, "..", "0" * 33])
def test_an_unknown_id_is_404_with_the_same_body_whatever_it_looks_like(api: Api, job_id: str) -> None:
    paths = ["", "/result", "/output", "/artifacts/model"]
    answers = [api.http.get(f"/v1/jobs/{job_id}{path}") for path in paths]
    answers.append(api.http.post(f"/v1/jobs/{job_id}/cancel"))

    assert {404} == {answer.status_code for answer in answers}
    assert {"/problems/not-found"} == {problem(answer)["type"] for answer in answers}


def test_head_answers_as_get_does_without_the_body(api: Api) -> None:
    job_id = api.submit()["id"]

    got, head = (api.http.request(method, f"/v1/jobs/{job_id}") for method in ("GET", "HEAD"))

    assert (200, b"") == (head.status_code, head.content)
    assert [got.headers[name] for name in ("etag", "content-length")] == [
        head.headers[name] for name in ("etag", "content-length")
    ]


def test_a_job_that_the_client_knows_is_304_until_it_changes(api: Api) -> None:
    job_id = api.submit("probe", {})["id"]
    headers = {"If-None-Match": api.http.get(f"/v1/jobs/{job_id}").headers["etag"]}

    before = api.http.get(f"/v1/jobs/{job_id}", headers=headers)
    api.start(job_id)
    after = api.http.get(f"/v1/jobs/{job_id}", headers=headers)

    assert (304, b"", 200) == (before.status_code, before.content, after.status_code)


def test_a_waiting_request_is_answered_as_soon_as_the_job_changes(api: Api) -> None:
    job_id = api.submit("probe", {})["id"]
    etag = api.http.get(f"/v1/jobs/{job_id}").headers["etag"]

    with Waiting(api, f"/v1/jobs/{job_id}", {"Prefer": "wait=20", "If-None-Match": etag}) as waiting:
        api.start(job_id)
        answer = waiting.answer()

    assert (200, "running") == (answer.status_code, answer.json()["state"])
    assert "wait=20" == answer.headers["preference-applied"]
    assert waiting.seconds_after_change < 5


def test_half_of_those_who_wait_at_another_api_are_answered_within_50_ms_of_the_change(
    api: Api, other: httpx2.Client
) -> None:
    ids = [api.submit()["id"] for _ in range(16)]

    def wait(job_id: str) -> tuple[str, float]:
        headers = {"Prefer": "wait=30", "If-None-Match": '"1-queued"'}
        state = other.get(f"/v1/jobs/{job_id}", headers=headers).json()["state"]
        return state, time.monotonic()

    with ThreadPoolExecutor(len(ids)) as threads:
        waiting = [threads.submit(wait, job_id) for job_id in ids]
        assert not wait_for(waiting, timeout=0.5).done  # who comes later is answered at once, and all the earlier
        changed, plain = [], []
        for job_id in ids:
            api.http.post(f"/v1/jobs/{job_id}/cancel").raise_for_status()
            changed.append(time.monotonic())
            plain.append(timed(partial(other.get, f"/v1/jobs/{job_id}")))
        answers = [each.result() for each in waiting]

    assert {"cancelled"} == {state for state, _ in answers}
    # An answer takes longer on a busy machine, as what need not be waited for does meanwhile.
    late = [at - since for (_, at), since in zip(answers, changed, strict=True)]
    assert median(late) < 0.05 + 3 * median(plain)


def timed(call: Callable[[], object]) -> float:
    """Return for how many seconds a call lasts."""
    began = time.monotonic()
    call()
    return time.monotonic() - began


def test_a_request_that_waits_for_the_result_sleeps_through_other_changes(api: Api) -> None:
    job_id = api.submit("probe", {})["id"]

    with Waiting(api, f"/v1/jobs/{job_id}/result", {"Prefer": "respond-async, wait=20"}) as waiting:
        lease = api.start(job_id)
        leases.report(api.database, {lease: Progress(50)})
        leases.finish(api.database, lease, Succeeded(b'{"pid": 1}'), Usage())
        answer = waiting.answer()

    assert (200, b'{"pid": 1}') == (answer.status_code, answer.content)


def test_waiting_for_a_job_that_has_ended_ends_at_once(api: Api) -> None:
    job_id = api.submit()["id"]
    api.succeed(job_id)
    etag = api.http.get(f"/v1/jobs/{job_id}").headers["etag"]
    started = time.monotonic()

    answer = api.http.get(f"/v1/jobs/{job_id}", headers={"Prefer": "wait=30", "If-None-Match": etag})

    assert 304 == answer.status_code
    assert time.monotonic() - started < 10


def test_a_wait_that_is_over_answers_what_there_is(api: Api) -> None:
    job_id = api.submit()["id"]
    started = time.monotonic()

    answer = api.http.get(f"/v1/jobs/{job_id}", headers={"Prefer": "wait=1"})

    assert (200, "queued") == (answer.status_code, answer.json()["state"])
    assert 1 <= time.monotonic() - started < 10
