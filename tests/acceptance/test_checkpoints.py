"""What an attempt has saved is what the next one goes on from, whatever was killed."""

import os
import signal
from pathlib import Path

import pytest

from tests.acceptance.conftest import EMBEDDED_AND_WHOLE
from tests.acceptance.stack import Stack, until


@pytest.mark.parametrize("stack", EMBEDDED_AND_WHOLE, indirect=True)
@pytest.mark.parametrize(("killed", "outcome"), [("worker", "lost"), ("child", "crashed")])
def test_a_job_killed_at_90_percent_goes_on_from_there(stack: Stack, killed: str, outcome: str) -> None:
    stack.start_api()
    worker = stack.start_worker("--queue", "probe", "--slots", "1")
    job_id = stack.probe("count", seconds=100_000)
    [child] = stack.reports(job_id)

    if killed == "worker":
        worker.kill()
        stack.start_worker("--queue", "probe", "--slots", "1")
    else:
        os.kill(child, signal.SIGKILL)

    assert ("from 9", 2) == ((result := stack.result(job_id))["note"], result["attempt"])
    assert [outcome, "succeeded"] == stack.outcomes(job_id)
    until(lambda: not files_of(stack, job_id), "the end of what was saved")


def files_of(stack: Stack, job_id: str) -> list[Path]:
    folder = stack.folder / "data" / "artifacts" / "jobs" / job_id
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_thread_saves_as_a_process_does_and_nothing_is_left_of_an_only_attempt(stack: Stack) -> None:
    stack.start_api()
    stack.start_worker()

    job_id = stack.submit("probe-thread", {"action": "count"})

    assert "from 0" == stack.result(job_id)["note"]
    until(lambda: not files_of(stack, job_id), "the end of what was saved")
