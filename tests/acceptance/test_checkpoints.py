"""What an attempt has saved is what the next one goes on from, whatever was killed."""

import csv
import io
import os
import re
import signal
from pathlib import Path

import pytest
from sklearn.datasets import load_digits

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


def test_a_search_for_a_model_killed_near_its_end_goes_on_from_there(stack: Stack) -> None:
    stack.start_api()
    worker = stack.start_worker("--queue", "cpu", "--slots", "1")
    digits = load_digits()
    table = io.StringIO()
    rows = [[*pixels.astype(int), digit] for pixels, digit in zip(digits.data, digits.target, strict=True)]
    csv.writer(table).writerows([[*digits.feature_names, "digit"], *rows])
    forests = {"name": "random-forest", "trees": [40], "max_depth": list(range(5, 17))}
    payload = {
        "file_id": stack.upload(table.getvalue().encode()),
        "target": "digit",
        "search": {"over": [forests], "folds": 3},
    }
    job_id = stack.submit("train-model", payload)

    def is_near_its_end() -> bool:
        progress = stack.job(job_id)["progress"]
        return bool(progress) and "candidate 12 of 12" in progress["message"]

    until(is_near_its_end, "the last candidate")
    worker.kill()
    stack.start_worker("--queue", "cpu", "--slots", "1")

    result = stack.result(job_id)
    assert ["lost", "succeeded"] == stack.outcomes(job_id)
    assert 12 == len(result["search"]["candidates"])
    [earlier] = re.findall(r"Going on behind (\d+) candidates", stack.output(job_id, attempt=2))
    assert int(earlier) >= 8
    until(lambda: len(files_of(stack, job_id)) == 2, "the model and the plot alone")
