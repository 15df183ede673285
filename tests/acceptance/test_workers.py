"""Claims about a worker as its operator sees it: what its health says, how it ends, how many jobs it runs at once."""

import ctypes
import signal
from pathlib import Path

import psutil
import pytest

from offload_worker.breaker import MOST_CRASHED_JOBS
from tests.acceptance.conftest import EMBEDDED_AND_WHOLE
from tests.acceptance.stack import Process, Stack, gone, until

LONG = 100_000
MANY = 250

pytestmark = pytest.mark.parametrize("stack", EMBEDDED_AND_WHOLE, indirect=True)


def paused(worker: Process) -> str:
    """Return why a worker takes no jobs, empty when it does."""
    status, body = worker.health("ready")
    assert (503 if body["paused"] else 200) == status, body
    return body["paused"] or ""


def test_a_worker_whose_processes_crash_in_series_pauses_and_says_so_and_goes_on(stack: Stack) -> None:
    stack.environment["OFFLOAD_PAUSE_SECONDS"] = "3"
    stack.start_api()
    worker = stack.start_worker("--queue", "probe", "--slots", "1")
    crashing = [stack.probe("exit") for _ in range(MOST_CRASHED_JOBS)]

    assert f"{MOST_CRASHED_JOBS} jobs in a row have crashed" in until(lambda: paused(worker), "the pause")
    assert 200 == worker.health("live")[0]

    assert {"failed"} == {stack.ended(job_id)["state"] for job_id in crashing}
    until(lambda: not paused(worker), "the end of the pause")
    stack.result(stack.probe("return"))


def test_a_worker_that_cannot_make_a_folder_gives_its_jobs_back_and_loses_none(stack: Stack) -> None:
    stack.environment["OFFLOAD_PAUSE_SECONDS"] = "1"
    stack.start_api()
    worker = stack.start_worker("--queue", "probe", "--slots", "1")
    stack.result(stack.probe("return"))
    [folder] = Path(stack.environment["TMPDIR"]).iterdir()
    folder.rename(stack.folder / "aside")
    folder.write_text("in the way")

    job_id = stack.probe("return")
    assert "no folder for a job can be made" in until(lambda: paused(worker), "the pause")
    assert "queued" == stack.job(job_id)["state"]
    folder.unlink()
    (stack.folder / "aside").rename(folder)

    stack.result(job_id)
    assert {"released", "succeeded"} == set(stack.outcomes(job_id))


def test_a_worker_drains_whichever_of_its_threads_is_given_the_signal(stack: Stack) -> None:
    worker = stack.start_worker()
    other = next(thread.id for thread in psutil.Process(worker.pid).threads() if thread.id != worker.pid)

    ctypes.CDLL(None).tgkill(worker.pid, other, signal.SIGTERM)  # as the kernel may with any SIGTERM

    assert 0 == worker.wait()


def test_a_second_sigterm_ends_a_worker_without_its_grace_and_without_loss(stack: Stack) -> None:
    stack.environment["OFFLOAD_GRACE_SECONDS"] = str(LONG / 2)
    stack.start_api()
    worker = stack.start_worker()
    job_id = stack.probe("spin", seconds=LONG)
    [child] = stack.reports(job_id)

    worker.send(signal.SIGTERM)
    until(lambda: worker.health("ready")[0] == 503, "the drain")
    assert not gone(child)
    worker.send(signal.SIGTERM)

    assert 0 == worker.wait()
    assert ["released"] == stack.outcomes(job_id)
    assert gone(child)


def test_a_handler_that_reaches_no_checkpoint_does_not_keep_a_worker_from_giving_its_job_back(stack: Stack) -> None:
    stack.start_api()
    worker = stack.start_worker()
    job_id = stack.submit("probe-thread", {"action": "sleep-without-checkpoint", "seconds": LONG})
    until(lambda: stack.job(job_id)["state"] == "running", "its start")

    worker.send(signal.SIGTERM)

    assert 0 == worker.wait()
    assert ["released"] == stack.outcomes(job_id)


def test_a_second_sigterm_does_not_wait_for_a_handler_that_reaches_no_checkpoint(stack: Stack) -> None:
    stack.environment["OFFLOAD_GRACE_SECONDS"] = str(LONG / 2)
    stack.start_api()
    worker = stack.start_worker()
    job_id = stack.submit("probe-thread", {"action": "sleep-without-checkpoint", "seconds": LONG})
    until(lambda: stack.job(job_id)["state"] == "running", "its start")

    worker.send(signal.SIGTERM)
    until(lambda: worker.health("ready")[0] == 503, "the drain")
    worker.send(signal.SIGTERM)

    assert 0 == worker.wait()
    assert ["released"] == stack.outcomes(job_id)


def test_hundreds_of_async_jobs_run_at_once_in_one_worker_beside_tens_that_block(stack: Stack) -> None:
    stack.start_api()
    worker = stack.start_worker("--queue", "io", "--slots", str(MANY + 50))
    waiting = [stack.submit("probe-event-loop", {"action": "sleep", "seconds": LONG}) for _ in range(MANY)]
    blocking = [stack.submit("probe-thread", {"action": "sleep", "seconds": LONG}) for _ in range(50)]

    until(lambda: worker.health("ready")[1]["running"] == MANY + 50, "all of them running")

    for job_id in waiting + blocking:
        stack.cancel(job_id)
    assert {"cancelled"} == {stack.ended(job_id)["state"] for job_id in waiting + blocking}
    assert 200 == worker.health("live")[0]
