"""Claims about the processes of jobs: what they are given, what they leave behind, and their end with their worker."""

import os
import shutil
import signal
from pathlib import Path

import psutil
import pytest

from offload_worker.runners.children import THREAD_COUNTS
from offload_worker.settings import cores
from tests.acceptance.conftest import EMBEDDED_AND_WHOLE
from tests.acceptance.stack import Stack, gone, until

LONG = 100_000

both = pytest.mark.parametrize("stack", EMBEDDED_AND_WHOLE, indirect=True)


def test_a_process_has_its_own_output_and_its_own_socket_open_and_nothing_of_the_workers(services: Stack) -> None:
    assert "/dev/null pipe pipe socket" == services.result(services.probe("descriptors"))["note"]


def test_libraries_compute_on_one_thread_in_a_process(services: Stack) -> None:
    assert (["1"], ["blas=1", "openmp=1"]) == thread_counts(services)


@both
def test_libraries_compute_on_as_many_threads_as_the_worker_may_give_a_process(stack: Stack) -> None:
    stack.environment |= {"OFFLOAD_CHILD_THREADS": "2", "OMP_NUM_THREADS": "3"}
    stack.start_api()
    stack.start_worker("--queue", "probe", "--slots", "1")

    assert (["2"], [f"blas={min(2, cores())}", "openmp=2"]) == thread_counts(stack)


def thread_counts(stack: Stack) -> tuple[list[str], list[str]]:
    """Return the numbers of threads that a process of a job is told, and those that its libraries make of them."""
    lines = stack.result(stack.probe("surroundings"))["note"].splitlines()
    told = dict(line.split("=", 1) for line in lines if "=" in line)
    used = stack.result(stack.probe("threads"))["note"].split()
    return sorted({told[name] for name in THREAD_COUNTS}), sorted(set(used))


def test_what_a_job_leaves_running_is_ended_with_it(services: Stack) -> None:
    daemon = int(services.result(services.probe("leave-daemon"))["note"])

    until(lambda: gone(daemon), "the end of the daemon")


def test_a_crash_is_noticed_while_a_daemon_holds_everything_open_and_the_daemon_is_gone(services: Stack) -> None:
    job_id = services.probe("crash-and-leave-daemon")
    pids = services.reports(job_id)

    services.ended(job_id)

    assert ["crashed"] * 3 == services.outcomes(job_id)
    until(lambda: all(gone(pid) for pid in pids), "the end of the daemon")


@both
@pytest.mark.parametrize("action", ["grandchild", "daemon"])
def test_nothing_a_job_started_outlives_a_killed_worker(stack: Stack, action: str) -> None:
    stack.start_api()
    worker = stack.start_worker()
    job_id = stack.probe(action, seconds=LONG)
    pids = stack.reports(job_id)
    assert list(Path(stack.environment["TMPDIR"]).iterdir())

    worker.kill()

    until(lambda: all(gone(pid) for pid in pids), "the end of the orphans")
    until(lambda: not list(Path(stack.environment["TMPDIR"]).iterdir()), "the end of the worker's folder")


@both
def test_a_process_dies_with_its_worker_also_when_the_guardian_went_before(stack: Stack) -> None:
    stack.start_api()
    worker = stack.start_worker("--queue", "probe", "--slots", "1")
    [child] = stack.reports(stack.probe("spin", seconds=LONG))
    [guardian] = [
        pid for pid in worker.children() if "offload_worker.runners.guardian" in psutil.Process(pid).cmdline()
    ]
    os.kill(guardian, signal.SIGKILL)
    until(lambda: gone(guardian), "the end of the guardian")
    assert not gone(child)

    worker.kill()

    until(lambda: gone(child), "the end of the process")
    for folder in stack.temporary():  # which nobody is left to remove
        shutil.rmtree(folder)


@both
def test_a_cancel_that_its_worker_does_not_live_to_see_holds(stack: Stack) -> None:
    stack.start_api()
    worker = stack.start_worker()
    job_id = stack.probe("spin", seconds=LONG)
    [pid] = stack.reports(job_id)

    stack.cancel(job_id)
    worker.kill()
    stack.start_worker()

    assert "cancelled" == stack.ended(job_id)["state"]
    assert 1 == stack.job(job_id)["attempt"]
    assert gone(pid)


@both
def test_a_cancel_reaches_a_job_through_any_api(stack: Stack) -> None:
    stack.start_api()
    stack.start_worker()
    job_id = stack.probe("spin", seconds=LONG)
    [pid] = stack.reports(job_id)

    with stack.start_another_api() as another:
        assert 202 == another.post(f"/v1/jobs/{job_id}/cancel").status_code

    assert "cancelled" == stack.ended(job_id)["state"]
    assert gone(pid)


@both
def test_a_neighbour_of_a_cancelled_job_does_not_notice(stack: Stack) -> None:
    stack.start_api()
    stack.start_worker("--queue", "probe", "--slots", "2")
    neighbour, cancelled = stack.probe("spin", seconds=3), stack.probe("daemon", seconds=LONG)
    [pid] = stack.reports(neighbour)
    stack.reports(cancelled)

    stack.cancel(cancelled)

    assert "cancelled" == stack.ended(cancelled)["state"]
    assert {"attempt": 1, "pid": pid, "note": ""} == stack.result(neighbour)
