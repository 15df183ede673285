"""Lists of jobs, batches and retries over HTTP, on each kind of store."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from offload_api import paging
from offload_shared.job import Failed, Failure
from offload_shared.store.listing import Wanted
from tests.api import STORES, Api, api_on, problem
from tests.integration.test_api_jobs import UNKNOWN_ID, count
from tests.jobs import added


@pytest.fixture(scope="module", params=STORES)
def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One API on each kind of store; each test lists jobs by a tag of its own."""
    with api_on(request.param, request, tmp_path_factory.mktemp("api")) as running:
        yield running


def listed(api: Api, **query: Any) -> list[str]:
    answer = api.http.get("/v1/jobs", params=query).raise_for_status()
    return [job["id"] for job in answer.json()["jobs"]]


def pages(api: Api, **query: Any) -> Iterator[httpx2.Response]:
    """Follow the links from page to page."""
    answer = api.http.get("/v1/jobs", params=query).raise_for_status()
    yield answer
    while link := answer.links.get("next"):
        answer = api.http.get(link["url"]).raise_for_status()
        yield answer


class TestLists:
    def test_a_list_has_the_newest_first_and_says_what_each_job_is(self, api: Api) -> None:
        first, second = (api.submit(tags=["newest"], priority=priority) for priority in (1, 2))
        api.end(first["id"], Failed(Failure.REJECTED, "no"))

        answer = api.http.get("/v1/jobs", params={"tag": "newest"})

        body = answer.json()
        assert (None, False) == (body["next_page_token"], "link" in answer.headers)
        assert [second["id"], first["id"]] == [job["id"] for job in body["jobs"]]
        whole = api.job(first["id"])
        assert body["jobs"][1] == {name: whole[name] for name in body["jobs"][1]}
        assert "/problems/job-rejected" == body["jobs"][1]["error"]["type"]

    def test_pages_go_on_where_the_last_ended_while_jobs_are_being_added(self, api: Api) -> None:
        ids = [api.submit(tags=["paged"])["id"] for _ in range(7)]

        found = []
        for page in pages(api, tag="paged", page_size=3):
            found.append([job["id"] for job in page.json()["jobs"]])
            api.submit(tags=["paged"])

        assert ids[::-1] == [job_id for each in found for job_id in each]
        assert [3, 3, 1] == [len(each) for each in found]

    def test_no_page_misses_or_repeats_a_job_while_two_apis_add_others(self, api: Api) -> None:
        ids = [api.submit(tags=["busy"])["id"] for _ in range(40)][::-1]
        stop = threading.Event()

        def add(client: httpx2.Client) -> int:
            made = 0
            while not stop.is_set():
                body = {"jobs": [echo(str(number), tags=["busy"]) for number in range(3)]}
                client.post("/v1/jobs:batch", json=body).raise_for_status()
                made += 1
            return made

        with api.another() as other, ThreadPoolExecutor(2) as threads:
            adding = [threads.submit(add, client) for client in (api.http, other)]
            try:
                found = [job["id"] for page in pages(api, tag="busy", page_size=4) for job in page.json()["jobs"]]
            finally:
                stop.set()
            assert all(each.result() for each in adding)

        assert ids == [job_id for job_id in found if job_id in ids]
        assert len(found) == len(set(found))
        assert found == sorted(found, reverse=True)

    def test_each_filter_leaves_out_what_it_does_not_fit(self, api: Api) -> None:
        queued = api.submit(tags=["filtered"])["id"]
        scheduled = api.submit(tags=["filtered", "other"], delay_seconds=1000)["id"]
        running = api.submit("probe", {"action": "return"}, tags=["filtered"])["id"]
        api.start(running)
        cancelled = api.submit(tags=["filtered"])["id"]
        api.http.post(f"/v1/jobs/{cancelled}/cancel").raise_for_status()

        def only(**query: Any) -> list[str]:
            return listed(api, tag="filtered", **query)

        assert [queued] == only(state="queued")
        assert [scheduled] == only(state="scheduled")
        assert [running] == only(state="running") == only(task="probe") == only(queue="probe")
        assert [cancelled] == only(state="cancelled")
        assert [] == only(state="succeeded") == only(task="nothing-of-the-kind")
        assert [scheduled] == listed(api, tag="other")
        assert [cancelled, running] == only(created_after=api.job(scheduled)["created_at"])

    def test_a_job_shows_its_tags_each_once(self, api: Api) -> None:
        job = api.submit(tags=["b", "a", "b"])

        assert ["b", "a"] == job["tags"] == api.job(job["id"])["tags"]
        assert [] == api.submit()["tags"]

    @pytest.mark.parametrize(
        "query",
        [
            "state=done",
            "page_size=0",
            "page_size=201",
            "page_size=many",
            "page_token=x",
            "page_token=%FF%00",
            "created_after=yesterday",
            "created_after=2026-01-01T00:00:00",
            "created_after=0001-01-01T00:00:00%2B14:00",
            "task=",
            "task=%00",
            "state=null",
            "created_after=null",
            "tag=" + "x" * 101,
            "state=queued&state=running",
            "colour=red",
        ],
    )
    def test_a_query_that_makes_no_sense_is_refused(self, api: Api, query: str) -> None:
        answer = api.http.get(f"/v1/jobs?{query}")

        assert 400 == answer.status_code
        assert "/problems/malformed" == problem(answer)["type"]

    def test_a_token_of_another_list_is_refused(self, api: Api) -> None:
        for _ in range(2):
            api.submit(tags=["token"])
        [first, _] = pages(api, tag="token", page_size=1)

        answer = api.http.get("/v1/jobs", params={"page_token": first.json()["next_page_token"]})

        assert 400 == answer.status_code
        assert "page_token" in problem(answer)["detail"]

    def test_a_token_that_was_made_up_is_refused(self, api: Api) -> None:
        forged = paging.token(Wanted(), "0" * 31 + "\0")

        assert 400 == api.http.get("/v1/jobs", params={"page_token": forged}).status_code

    def test_the_next_page_is_at_an_address_of_this_api(self, api: Api) -> None:
        for _ in range(2):
            api.submit(tags=["linked", "x=1"])

        answer = api.http.get("/v1/jobs", params={"tag": "x=1", "page_size": 1})

        assert "/v1/jobs" == urlsplit(answer.links["next"]["url"]).path
        assert 1 == len(api.http.get(answer.links["next"]["url"]).json()["jobs"])


def batch(api: Api, bodies: list[dict[str, Any]], **headers: str) -> httpx2.Response:
    return api.http.post("/v1/jobs:batch", json={"jobs": bodies}, headers=headers)


def echo(text: str, **options: Any) -> dict[str, Any]:
    return {"task": "echo", "payload": {"text": text}, **options}


class TestBatches:
    def test_a_batch_is_stored_whole_and_answered_in_its_order(self, api: Api) -> None:
        before = count(api)

        answer = batch(api, [echo(str(number), tags=[f"batch-{number}"], delay_seconds=100) for number in range(1000)])

        assert 202 == answer.status_code
        made = answer.json()["jobs"]
        assert [[f"batch-{number}"] for number in range(1000)] == [job["tags"] for job in made]
        assert {"scheduled"} == {job["state"] for job in made}
        assert 1000 == count(api) - before
        assert made[7]["created_at"] == api.job(made[7]["id"])["created_at"]

    @pytest.mark.parametrize(
        ("bodies", "pointers"),
        [
            ([], ["/jobs"]),
            ([echo("a")] * 1001, ["/jobs"]),
            ([echo("a"), {"task": "no-such-task"}, echo("b", priority=99)], ["/jobs/1/task", "/jobs/2/priority"]),
            ([echo("a"), 7], ["/jobs/1"]),
            ([echo("a", run_at="2026-01-01T00:00:00Z", delay_seconds=1)], ["/jobs/0/delay_seconds"]),
            ([echo("a\u0000")], ["/jobs/0/payload/text"]),
        ],
    )
    def test_one_bad_job_keeps_the_whole_batch_out(
        self, api: Api, bodies: list[dict[str, Any]], pointers: list[str]
    ) -> None:
        before = count(api)

        answer = batch(api, bodies)

        assert 422 == answer.status_code
        assert pointers == [error["pointer"] for error in problem(answer)["errors"]]
        assert before == count(api)

    def test_a_body_that_is_no_batch_is_refused(self, api: Api) -> None:
        headers = {"Content-Type": "application/json"}

        assert 400 == api.http.post("/v1/jobs:batch", content=b"[", headers=headers).status_code
        assert 422 == api.http.post("/v1/jobs:batch", content=b"[]", headers=headers).status_code
        assert 422 == api.http.post("/v1/jobs:batch", json={"jobs": [echo("a")], "more": 1}).status_code
        assert 415 == api.http.post("/v1/jobs:batch", content=b"{}").status_code

    def test_concurrent_repeats_of_a_batch_make_its_jobs_once(self, api: Api) -> None:
        before = count(api)
        bodies = [echo(str(number)) for number in range(5)]

        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(lambda _: batch(api, bodies, **{"Idempotency-Key": "batch-1"}), range(16)))

        assert {202} == {answer.status_code for answer in answers}
        assert 1 == len({tuple(job["id"] for job in answer.json()["jobs"]) for answer in answers})
        assert 15 == sum(answer.headers.get("idempotency-replayed") == "true" for answer in answers)
        assert 5 == count(api) - before

    def test_a_key_used_for_another_batch_is_refused_and_nothing_of_it_is_stored(self, api: Api) -> None:
        batch(api, [echo("a"), echo("b")], **{"Idempotency-Key": "batch-2"})
        before = count(api)

        longer = batch(api, [echo("a"), echo("b"), echo("c")], **{"Idempotency-Key": "batch-2"})
        other = batch(api, [echo("a"), echo("x")], **{"Idempotency-Key": "batch-2"})

        assert [422, 422] == [longer.status_code, other.status_code]
        assert "/problems/idempotency-key-reused" == problem(other)["type"]
        assert before == count(api)


class TestRetries:
    def test_a_retry_is_a_new_job_with_the_same_payload_and_options_that_names_its_parent(self, api: Api) -> None:
        parent = api.submit(payload={"text": "again"}, priority=4, max_attempts=2, timeout_seconds=7, tags=["t"])
        api.end(parent["id"], Failed(Failure.REJECTED, "no"))

        answer = api.http.post(api.job(parent["id"])["links"]["retry"])

        job = answer.json()
        assert 202 == answer.status_code
        assert f"/v1/jobs/{job['id']}" == answer.headers["location"]
        assert (parent["id"], f"/v1/jobs/{parent['id']}") == (job["parent_id"], job["links"]["parent"])
        assert ("queued", 4, 2, 7, ["t"]) == (
            job["state"],
            job["priority"],
            job["max_attempts"],
            job["timeout_seconds"],
            job["tags"],
        )
        assert job == api.job(job["id"])
        assert job["id"] in listed(api, tag="t")
        assert "failed" == api.job(parent["id"])["state"]

    def test_a_repeat_of_a_retry_with_its_key_makes_no_second_job(self, api: Api) -> None:
        parent = api.submit()["id"]
        api.succeed(parent)
        other = api.submit()["id"]
        api.succeed(other)
        headers = {"Idempotency-Key": "retry-1"}

        first = api.http.post(f"/v1/jobs/{parent}/retry", headers=headers)
        again = api.http.post(f"/v1/jobs/{parent}/retry", headers=headers)
        reused = api.http.post(f"/v1/jobs/{other}/retry", headers=headers)

        assert first.json()["id"] == again.json()["id"]
        assert "true" == again.headers["idempotency-replayed"]
        assert 422 == reused.status_code

    def test_a_repeat_of_a_retry_finds_its_job_also_when_the_parent_is_gone(self, api: Api) -> None:
        parent = api.submit()["id"]
        api.succeed(parent)
        headers = {"Idempotency-Key": "retry-2"}
        first = api.http.post(f"/v1/jobs/{parent}/retry", headers=headers).json()["id"]
        api.http.delete(f"/v1/jobs/{parent}").raise_for_status()

        again = api.http.post(f"/v1/jobs/{parent}/retry", headers=headers)

        assert (202, first) == (again.status_code, again.json()["id"])
        assert 404 == api.http.post(f"/v1/jobs/{parent}/retry").status_code

    def test_a_job_of_a_task_that_is_no_more_is_not_retried(self, api: Api) -> None:
        old = added(api.database, task="no-such-task", queue="io")
        api.http.post(f"/v1/jobs/{old}/cancel").raise_for_status()

        answer = api.http.post(f"/v1/jobs/{old}/retry")

        assert (404, "/problems/unknown-task") == (answer.status_code, problem(answer)["type"])

    def test_what_has_not_ended_or_is_not_there_cannot_be_retried(self, api: Api) -> None:
        job_id = api.submit()["id"]

        early = api.http.post(f"/v1/jobs/{job_id}/retry")
        unknown = api.http.post(f"/v1/jobs/{UNKNOWN_ID}/retry")

        assert "retry" not in api.job(job_id)["links"]
        assert (409, "/problems/job-not-finished") == (early.status_code, problem(early)["type"])
        assert (404, "/problems/not-found") == (unknown.status_code, problem(unknown)["type"])
