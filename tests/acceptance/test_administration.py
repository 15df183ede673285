"""Claims about what an operator sees and does: paused queues, live workers, what both services count."""

import signal
from typing import Any

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.acceptance.conftest import EMBEDDED_AND_WHOLE
from tests.acceptance.stack import Process, Stack, until

pytestmark = pytest.mark.parametrize("stack", EMBEDDED_AND_WHOLE, indirect=True)


def queue(stack: Stack, name: str) -> dict[str, Any]:
    answer = stack.ask("GET", "/v1/queues").raise_for_status()
    [found] = [each for each in answer.json()["queues"] if each["name"] == name]
    return dict(found)


def workers(stack: Stack) -> list[dict[str, Any]]:
    return list(stack.ask("GET", "/v1/workers").raise_for_status().json()["workers"])


def samples(port: int) -> dict[tuple[str, ...], float]:
    answer = httpx2.get(f"http://127.0.0.1:{port}/metrics", timeout=60).raise_for_status()
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def claims(worker: Process) -> float:
    return samples(worker.port)["offload_claim_seconds_count",]


def test_jobs_of_a_paused_queue_wait_without_a_claim_and_run_once_it_is_resumed(stack: Stack) -> None:
    stack.start_api()
    worker = stack.start_worker()
    stack.ask("POST", "/v1/queues/io/pause").raise_for_status()
    waiting = [stack.submit("echo") for _ in range(20)]
    stack.result(stack.probe("return"))  # the other queue goes on

    if stack.broker_url:  # each hint has come, and is dropped
        until(lambda: samples(worker.port)["offload_claims_refused_total",] >= len(waiting), "the end of the hints")
    before = claims(worker)
    stack.result(stack.probe("sleep", seconds=3))

    assert claims(worker) - before == 1  # that of the sleep: nothing spins
    assert len(waiting) == queue(stack, "io")["queued"]
    assert {"queued"} == {stack.job(job_id)["state"] for job_id in waiting}

    stack.ask("POST", "/v1/queues/io/resume").raise_for_status()

    assert {"succeeded"} == {stack.ended(job_id)["state"] for job_id in waiting}
    assert {1} == {stack.job(job_id)["attempt"] for job_id in waiting}


def test_a_worker_is_listed_with_what_it_runs_until_it_ends(stack: Stack) -> None:
    stack.environment["OFFLOAD_GRACE_SECONDS"] = "60"
    stack.start_api()
    worker = stack.start_worker("--queue", "probe", "--queue", "io", "--slots", "2")
    job_id = stack.probe("spin", seconds=1000)
    stack.reports(job_id)

    found = until(lambda: workers(stack), "the worker in the list")

    [listed] = found
    assert (worker.pid, False, None, 1) == tuple(listed[each] for each in ("pid", "draining", "paused", "running"))
    assert [{"name": "io", "slots": 2}, {"name": "probe", "slots": 2}] == listed["queues"]
    assert [(job_id, 1)] == [(job["id"], job["attempt"]) for job in listed["jobs"]]

    worker.send(signal.SIGTERM)
    until(lambda: workers(stack)[0]["draining"], "the drain in the list")
    worker.send(signal.SIGTERM)
    assert 0 == worker.wait()
    assert [] == workers(stack)


def test_a_killed_worker_is_not_listed_for_longer_than_its_lease(stack: Stack) -> None:
    stack.start_api()
    worker = stack.start_worker()
    until(lambda: workers(stack), "the worker in the list")

    worker.kill()

    until(lambda: not workers(stack), "the end of its lease")


def test_both_services_count_what_they_do(stack: Stack) -> None:
    stack.start_api()
    worker = stack.start_worker()
    stack.result(stack.probe("return"))
    stack.ended(stack.probe("exit"))

    api, its = samples(stack.port), samples(worker.port)

    assert 2 == api["offload_jobs_submitted_total", "probe"]
    assert 1 == api["offload_store_up",]
    if stack.broker_url:
        assert 1 == api["offload_broker_connected",]
        assert api["offload_hints_published_total",] >= 2
    assert 1 == its["offload_attempts_ended_total", "succeeded", "probe"]
    assert 3 == its["offload_attempts_ended_total", "crashed", "probe"]
    assert its["offload_child_restarts_total",] >= 2
    assert 4 <= its["offload_claim_seconds_count",]
    assert (0, 0) == (its["offload_draining",], its["offload_jobs_running", "probe"])
    assert its["offload_slots", "probe"] >= 1
