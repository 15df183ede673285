"""What an operator sees and does over HTTP, on each kind of store; and the page that shows the API to people."""

import re
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from offload_shared.job import Succeeded
from offload_shared.store import workers
from offload_shared.store.workers import Presence
from tests.acceptance.stack import until
from tests.api import STORES, Api, api_on, problem
from tests.jobs import WORKER, claimed


@pytest.fixture(scope="module", params=STORES)
def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One API on each kind of store; every test leaves its queues as it found them."""
    with api_on(request.param, request, tmp_path_factory.mktemp("api")) as running:
        yield running


def queues(api: Api) -> dict[str, dict[str, Any]]:
    answer = api.http.get("/v1/queues").raise_for_status()
    return {queue["name"]: queue for queue in answer.json()["queues"]}


def metrics(client: httpx2.Client) -> dict[tuple[str, tuple[str, ...]], float]:
    """Return every sample by its name and the values of its labels, in the order of the labels' names."""
    answer = client.get("/metrics").raise_for_status()
    assert "text/plain; version=0.0.4; charset=utf-8" == answer.headers["content-type"]
    return {
        (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


class TestQueues:
    def test_every_queue_of_a_task_is_listed_with_its_jobs_that_have_not_ended(self, api: Api) -> None:
        before = queues(api)["io"]
        api.succeed(api.submit()["id"])
        api.submit(delay_seconds=1000)
        api.submit()
        lease = api.start(api.submit()["id"])

        after = queues(api)["io"]

        assert {"cpu", "io", "probe"} <= queues(api).keys()
        counted = ("queued", "scheduled", "running")
        assert [1, 1, 1] == [after[each] - before[each] for each in counted]
        assert after["oldest_due_seconds"] >= 0
        assert (False, None) == (after["paused"], after["paused_at"])
        assert {"jobs": "/v1/jobs?queue=io", "pause": "/v1/queues/io/pause"} == after["links"]
        api.finish(lease, Succeeded(b"{}"))

    def test_a_paused_queue_takes_jobs_and_lets_none_start_until_it_is_resumed(self, api: Api) -> None:
        link = queues(api)["io"]["links"]["pause"]

        paused = api.http.post(link)
        job_id = api.submit()["id"]

        assert (200, True) == (paused.status_code, paused.json()["paused"])
        assert paused.json()["paused_at"] == queues(api)["io"]["paused_at"] is not None
        assert claimed(api.database, job_id) is None
        assert "queued" == api.job(job_id)["state"]

        resumed = api.http.post(paused.json()["links"]["resume"])

        assert (200, False) == (resumed.status_code, resumed.json()["paused"])
        assert claimed(api.database, job_id) is not None

    def test_to_pause_or_resume_twice_changes_nothing_more(self, api: Api) -> None:
        first, second = (api.http.post("/v1/queues/cpu/pause").json() for _ in range(2))
        assert first["paused_at"] == second["paused_at"]

        assert [200, 200] == [api.http.post("/v1/queues/cpu/resume").status_code for _ in range(2)]
        assert not queues(api)["cpu"]["paused"]

    @pytest.mark.parametrize("name", ["no-such-queue", "x" * 101, "%00", "a%0Ab", "%F0%9F%98%80"])
    @pytest.mark.parametrize("verb", ["pause", "resume"])
    def test_a_queue_that_nobody_knows_is_not_found(self, api: Api, name: str, verb: str) -> None:
        answer = api.http.post(f"/v1/queues/{name}/{verb}")

        assert (404, "/problems/unknown-queue") == (answer.status_code, problem(answer)["type"])


class TestWorkers:
    def test_a_worker_is_listed_with_what_it_runs(self, api: Api) -> None:
        here = Presence(
            name=WORKER, host="a-host", pid=42, version="1.2", slots={"io": 256, "cpu": 2}, unknown=(("shout", 2),)
        )
        workers.announce(api.database, here, lease_seconds=60)
        job_id = api.submit()["id"]
        lease = api.start(job_id)

        [found] = api.http.get("/v1/workers").raise_for_status().json()["workers"]

        expected = (WORKER, "a-host", 42, "1.2", False, None)
        assert expected == tuple(found[each] for each in ("name", "host", "pid", "version", "draining", "paused"))
        assert [{"name": "cpu", "slots": 2}, {"name": "io", "slots": 256}] == found["queues"]
        assert [{"task": "shout", "version": 2}] == found["unknown"]
        [job] = [each for each in found["jobs"] if each["id"] == job_id]
        assert ("echo", "io", 1, False, f"/v1/jobs/{job_id}") == tuple(
            job[each] for each in ("task", "queue", "attempt", "cancel_requested", "href")
        )
        assert api.job(job_id)["started_at"] == job["started_at"]
        assert len(found["jobs"]) == found["running"]
        api.finish(lease, Succeeded(b"{}"))
        workers.leave(api.database, WORKER)

    def test_a_worker_that_has_gone_silent_is_not_listed(self, api: Api) -> None:
        here = Presence(name="silent", host="a-host", pid=42, version="1.2", slots={})
        workers.announce(api.database, here, lease_seconds=-1)

        assert [] == api.http.get("/v1/workers").json()["workers"]


class TestMetrics:
    def test_requests_are_counted_by_their_route_and_status(self, api: Api) -> None:
        job_id = api.submit()["id"]
        before = metrics(api.http)
        for _ in range(3):
            api.job(job_id)
        api.http.get("/v1/jobs/" + "0" * 32)
        api.http.get("/made/up/1")
        api.http.get("/made/up/2")

        after = metrics(api.http)

        def more(name: str, *labels: str) -> float:
            return after.get((name, labels), 0) - before.get((name, labels), 0)

        assert 3 == more("offload_http_requests_total", "GET", "/v1/jobs/{job_id}", "200")
        assert 1 == more("offload_http_requests_total", "GET", "/v1/jobs/{job_id}", "404")
        assert 2 == more("offload_http_requests_total", "other", "none", "404")
        assert 4 == more("offload_http_request_seconds_count", "GET", "/v1/jobs/{job_id}")
        assert not [labels for name, labels in after if name.startswith("offload_http") and "made" in str(labels)]

    def test_submitted_and_replayed_jobs_are_counted_by_task(self, api: Api) -> None:
        before = metrics(api.http)
        key = {"Idempotency-Key": "counted"}
        body = {"task": "echo", "payload": {}}
        for _ in range(3):
            api.http.post("/v1/jobs", json=body, headers=key).raise_for_status()
        api.http.post("/v1/jobs:batch", json={"jobs": [body, body]}).raise_for_status()
        api.http.post("/v1/jobs", json={"task": "echo", "payload": {"text": 7}})

        after = metrics(api.http)

        counted = ("offload_jobs_submitted_total", "offload_jobs_replayed_total")
        assert [3, 2] == [after[name, ("echo",)] - before[name, ("echo",)] for name in counted]

    def test_the_queues_are_told_of_as_they_were_a_moment_ago(self, api: Api) -> None:
        api.http.post("/v1/queues/cpu/pause").raise_for_status()
        api.submit(delay_seconds=1000)
        counts = queues(api)["io"]

        until(lambda: metrics(api.http)["offload_queue_paused", ("cpu",)] == 1, "the pause in the metrics")

        found = metrics(api.http)
        states = ("queued", "scheduled", "running")
        assert [counts[state] for state in states] == [found["offload_queue_jobs", ("io", state)] for state in states]
        assert 1 == found["offload_store_up", ()]
        assert found["offload_store_connections", ()] >= 1
        api.http.post("/v1/queues/cpu/resume").raise_for_status()


class TestDocs:
    def test_the_page_asks_nothing_of_any_other_host(self, api: Api) -> None:
        page = api.http.get("/docs").raise_for_status()
        parts = [
            api.http.get(path).raise_for_status() for path in re.findall(r'(?:src|href)="(docs/[^"]+)"', page.text)
        ]

        assert ["text/html; charset=utf-8", "text/css; charset=utf-8", "text/javascript; charset=utf-8"] == [
            answer.headers["content-type"] for answer in (page, *parts)
        ]
        for answer in (page, *parts):
            assert not re.search(r"(?:https?:)?//[a-z0-9]", answer.text.replace("// ", ""))
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "http" not in policy
            assert (
                304 == api.http.get(answer.request.url, headers={"If-None-Match": answer.headers["etag"]}).status_code
            )

    def test_the_page_has_no_other_parts(self, api: Api) -> None:
        for name in ("index.html", "..%2Fapp.py", "reference.ts"):
            assert "/problems/not-found" == problem(api.http.get(f"/docs/{name}"))["type"]
