"""Claims about the limits of a job, and about what is told of the work it was."""

import gzip
import pickle
from typing import Any

import pytest

from tests.acceptance.conftest import EMBEDDED_AND_WHOLE
from tests.acceptance.stack import Stack, gone, until

LONG = 100_000

#: Uploads that are made to hurt whoever reads them, and what is told of each.
HARMFUL = {
    "a million columns": (
        b",".join(b"c%d" % number for number in range(1_000_000)),
        "too many columns or no line ends",
    ),
    "a line without end": (b"size,sold\n1,yes\n" + b"x" * 20_000_000, "Line 3 is longer than 1,048,576 characters"),
    "an archive": (b"PK\x03\x04" + b"../../etc/passwd" * 1000, "a zip archive"),
    "a bomb": (gzip.compress(bytes(100_000_000)), "compressed with gzip"),
    "an image": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 100, "a PNG image"),
    "a pickle": (pickle.dumps([LONG] * 1000), "not a CSV table"),
}


@pytest.mark.parametrize(
    ("action", "options", "kind"),
    [
        ("spin", {"timeout_seconds": 0.5}, "timeout"),
        ("block", {"timeout_seconds": 0.5}, "timeout"),
        ("burn-in-grandchildren", {"cpu_limit_seconds": 1}, "cpu-exceeded"),
        ("allocate", {"memory_limit_mb": 256}, "out-of-memory"),
        ("allocate-at-once", {"memory_limit_mb": 256}, "out-of-memory"),
        ("allocate-in-grandchild", {"memory_limit_mb": 256}, "out-of-memory"),
        ("large-result", {}, "result-too-large"),
        ("exit", {}, "crashed"),
    ],
)
def test_each_limit_has_its_own_end_and_its_own_problem_type(
    services: Stack, action: str, options: dict[str, Any], kind: str
) -> None:
    job = services.ended(services.submit("probe", {"action": action, "seconds": LONG}, **options))

    assert "failed" == job["state"]
    assert f"/problems/job-{kind}" == job["error"]["type"]
    assert kind.replace("-", "_") == job["attempts"][-1]["failure"]


@pytest.mark.parametrize("task", ["probe-thread", "probe-event-loop"])
def test_a_job_on_a_thread_or_an_event_loop_that_is_out_of_time_ends_at_its_checkpoint(
    services: Stack, task: str
) -> None:
    job_id = services.submit(task, {"action": "sleep", "seconds": LONG}, timeout_seconds=0.3)

    assert "failed" == services.ended(job_id)["state"]
    assert ["timeout"] == services.outcomes(job_id)


def test_an_attempt_tells_its_time_its_processor_time_and_its_memory(services: Stack) -> None:
    job_id = services.probe("burn-in-grandchildren", seconds=0.5)
    services.result(job_id)

    [attempt] = services.job(job_id)["attempts"]
    assert attempt["wall_seconds"] >= 0.5
    assert attempt["cpu_seconds"] >= 2 * 0.5
    assert attempt["peak_memory_mb"] > 5


@pytest.mark.parametrize("task", ["probe-thread", "probe-event-loop"])
def test_a_thread_and_a_coroutine_know_their_processor_time_but_share_their_memory(services: Stack, task: str) -> None:
    job_id = services.submit(task, {"action": "spin", "seconds": 0.2})
    services.result(job_id)

    [attempt] = services.job(job_id)["attempts"]
    assert 0.01 < attempt["cpu_seconds"] < attempt["wall_seconds"] + 0.1
    assert attempt["peak_memory_mb"] is None


def test_a_stopped_attempt_tells_what_it_took_too(services: Stack) -> None:
    job_id = services.submit("probe", {"action": "spin", "seconds": LONG}, timeout_seconds=1)

    [attempt] = services.ended(job_id)["attempts"]
    assert attempt["cpu_seconds"] > 0.1
    assert attempt["peak_memory_mb"] > 5


def test_a_poison_job_is_given_up_and_names_signal_worker_and_attempt(services: Stack) -> None:
    job = services.ended(services.probe("segfault"))

    assert ["crashed"] * 3 == [attempt["failure"] for attempt in job["attempts"]]
    detail = job["error"]["detail"]
    assert "attempt 3 on worker" in detail
    assert f"-{services.processes[-1].pid}-" in detail
    assert "SIGSEGV" in detail


def test_a_process_that_has_grown_is_not_used_again(services: Stack) -> None:
    pid = services.result(services.probe("hoard"))["pid"]

    until(lambda: gone(pid), "the end of the process that grew")


@pytest.mark.parametrize("stack", EMBEDDED_AND_WHOLE, indirect=True)
def test_a_process_is_used_again_but_not_for_ever(stack: Stack) -> None:
    stack.environment["OFFLOAD_CHILD_JOBS"] = "3"
    stack.start_api()
    stack.start_worker("--queue", "probe", "--slots", "1")

    pids = [stack.result(stack.probe("return"))["pid"] for _ in range(6)]

    assert [pids[0]] * 3 + [pids[3]] * 3 == pids
    assert pids[0] != pids[3]


@pytest.mark.parametrize("stack", EMBEDDED_AND_WHOLE, indirect=True)
def test_the_largest_job_goes_before_the_worker_runs_out_of_memory_and_its_neighbour_stays(stack: Stack) -> None:
    stack.environment["OFFLOAD_MEMORY_MB"] = "600"
    stack.start_api()
    stack.start_worker("--queue", "probe", "--slots", "2")
    neighbour = stack.probe("spin", seconds=3)
    stack.reports(neighbour)

    large = stack.submit("probe", {"action": "allocate"}, memory_limit_mb=4096)

    assert "a worker that ran out of memory" in stack.ended(large)["error"]["detail"]
    assert 1 == stack.result(neighbour)["attempt"]


def test_an_upload_that_is_made_to_hurt_is_refused_at_the_first_attempt_and_the_worker_lives(services: Stack) -> None:
    worker = services.start_worker("--queue", "cpu", "--slots", "1")
    for content, said in HARMFUL.values():
        payload = {"file_id": services.upload(content), "target": "sold"}
        job = services.ended(services.submit("train-model", payload, memory_limit_mb=1024))

        assert "/problems/job-rejected" == job["error"]["type"]
        assert said in job["error"]["detail"]
        assert 1 == len(job["attempts"])
    assert not gone(worker.pid)
