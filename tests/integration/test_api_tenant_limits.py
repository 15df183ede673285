"""Limits of a tenant over HTTP, at two API processes together, on each kind of store."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import httpx2
import pytest

from tests.acceptance.stack import until
from tests.api import STORES, Api, Headers, api_on, problem
from tests.integration.test_store_limits import quota_held

MOST_QUEUED = 6
PER_MINUTE = 120
ECHO: dict[str, Any] = {"task": "echo", "payload": {}}


@pytest.fixture(scope="module", params=STORES)
def store(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def api(store: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("api")
    limits = {"max_queued": str(MOST_QUEUED), "max_requests_per_minute": str(PER_MINUTE)}
    patience = {"store_answer_seconds": "30"}  # longer than any of these tests makes others wait
    with api_on(store, request, folder, auth="keys", **limits, **patience) as running:
        yield running


@pytest.fixture(scope="module")
def other(api: Api) -> Iterator[httpx2.Client]:
    with api.another() as client:
        yield client


def test_a_tenant_has_no_more_jobs_queued_than_it_may(api: Api, other: httpx2.Client) -> None:
    mine = api.key(tenant="queued")
    made = [(api.http, other)[n % 2].post("/v1/jobs", json=ECHO, headers=mine) for n in range(MOST_QUEUED + 2)]

    assert [202] * MOST_QUEUED + [429] * 2 == [answer.status_code for answer in made]
    assert "/problems/too-many-queued" == problem(made[-1])["type"]
    assert 0 < int(made[-1].headers["retry-after"])
    assert 202 == api.http.post("/v1/jobs", json=ECHO, headers=api.key(tenant="another")).status_code

    api.start(made[0].json()["id"])
    api.start(made[1].json()["id"])
    until(lambda: 202 == other.post("/v1/jobs", json=ECHO, headers=api.key(tenant="queued")).status_code, "room")


def test_a_batch_and_a_retry_are_limited_alike(api: Api) -> None:
    mine = api.key(tenant="batch")
    ended = api.http.post("/v1/jobs", json=ECHO, headers=mine).json()["id"]
    api.succeed(ended)

    large = api.http.post("/v1/jobs:batch", json={"jobs": [ECHO] * (MOST_QUEUED + 1)}, headers=mine)
    fitting = api.http.post("/v1/jobs:batch", json={"jobs": [ECHO] * (MOST_QUEUED - 1)}, headers=mine)
    until(lambda: 429 == api.http.post(f"/v1/jobs/{ended}/retry", headers=mine).status_code, "the end of all room")

    # No room will ever be enough for it, so it is not told to come again.
    assert (422, "/problems/too-many-queued") == (large.status_code, problem(large)["type"])
    assert "retry-after" not in large.headers
    assert 202 == fitting.status_code


def test_who_adds_jobs_of_a_tenant_holds_up_no_other(api: Api, store: str) -> None:
    busy, free = api.key(tenant="busy"), api.key(tenant="free")
    ended = api.http.post("/v1/jobs", json=ECHO, headers=busy).json()["id"]
    api.succeed(ended)

    def submit(path: str, **body: Any) -> int:
        while (answer := api.http.post(path, json=body or None, headers=busy)).status_code == 503:
            pass  # a lock is waited for no longer than 2 seconds
        return answer.status_code

    with ThreadPoolExecutor(3) as threads:
        with quota_held(api.database, "busy") if store != "sqlite" else nullcontext():
            waiting = [
                threads.submit(submit, "/v1/jobs", **ECHO),
                threads.submit(submit, "/v1/jobs:batch", jobs=[ECHO, ECHO]),
                threads.submit(submit, f"/v1/jobs/{ended}/retry"),
            ]
            for _ in range(MOST_QUEUED - 1):
                assert 202 == api.http.post("/v1/jobs", json=ECHO, headers=free).status_code
            assert store == "sqlite" or not any(each.done() for each in waiting)

        assert [202] * 3 == [each.result() for each in waiting]


def ask(client: httpx2.Client, headers: Headers) -> httpx2.Response:
    return client.get("/v1/tasks/echo", headers=headers)


def test_a_tenant_sends_no_more_requests_than_it_may_to_all_processes_together(api: Api, other: httpx2.Client) -> None:
    mine = api.key(tenant="rate"), api.key(tenant="rate")

    began = time.monotonic()

    answers = [ask((api.http, other)[n % 2], mine[n % 3 == 0]) for n in range(3 * PER_MINUTE)]

    served = [answer for answer in answers if answer.status_code == 200]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(answers) == len(served) + len(refused)
    assert len(served) >= PER_MINUTE - 12  # a process may take a few that it does not come to use
    assert len(served) <= PER_MINUTE * (1 + (time.monotonic() - began) / 60) + 1
    assert refused
    assert "/problems/too-many-requests" == problem(refused[0])["type"]
    assert 0 < int(refused[0].headers["retry-after"]) <= 60
    assert 200 == ask(api.http, api.key(tenant="calm")).status_code


def test_every_answer_tells_of_the_limit(api: Api) -> None:
    mine = api.key(tenant="told")

    for path, status in (("/v1/tasks/echo", 200), ("/v1/tasks/none", 404), ("/v1/workers", 403), ("/v1/jobs?x=1", 400)):
        answer = api.http.get(path, headers=mine)
        assert status == answer.status_code
        assert f'"requests";q={PER_MINUTE};w=60' == answer.headers["ratelimit-policy"]
        assert answer.headers["ratelimit"].startswith('"requests";r=')


def test_what_asks_for_no_key_is_not_counted_and_tells_of_no_limit(api: Api) -> None:
    mine = api.key(tenant="uncounted")
    uncounted = [("GET", "/health/live"), ("GET", "/v1/nothing"), ("PUT", "/v1/jobs"), ("OPTIONS", "/v1/jobs")]

    def left() -> int:
        told = ask(api.http, mine).headers["ratelimit"]
        return int(told.split(";r=")[1].split(";")[0])

    before = left()
    for method, path in uncounted * 10:
        assert "ratelimit" not in api.http.request(method, path, headers=mine).headers
    assert before - left() < len(uncounted)  # what is asked for here, and what a process does not come to use
