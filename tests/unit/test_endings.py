from types import SimpleNamespace
from typing import Any

import pytest

from offload_shared.job import Cancelled, Failed, Failure, JobState, Outcome, Released, Succeeded
from offload_shared.store.endings import LONGEST_BACKOFF_SECONDS, MOST_LOSSES, decide


def row(**changes: Any) -> Any:
    return SimpleNamespace(**{"errors": 0, "losses": 0, "max_attempts": 3, "cancel_requested": False, **changes})


@pytest.mark.parametrize(
    ("before", "outcome", "state"),
    [
        ({}, Succeeded(b"1"), JobState.SUCCEEDED),
        ({"cancel_requested": True}, Succeeded(b"1"), JobState.SUCCEEDED),
        ({}, Cancelled(), JobState.CANCELLED),
        ({}, Released(), JobState.QUEUED),
        ({"cancel_requested": True}, Released(), JobState.CANCELLED),
        ({}, Failed(Failure.ERROR, ""), JobState.QUEUED),
        ({"errors": 2}, Failed(Failure.ERROR, ""), JobState.FAILED),
        ({"losses": 2}, Failed(Failure.ERROR, ""), JobState.QUEUED),
        ({"cancel_requested": True}, Failed(Failure.ERROR, ""), JobState.CANCELLED),
        ({"losses": MOST_LOSSES - 1}, Failed(Failure.LOST, ""), JobState.FAILED),
        ({"losses": MOST_LOSSES - 2}, Failed(Failure.CRASHED, ""), JobState.QUEUED),
        ({}, Failed(Failure.TIMEOUT, ""), JobState.FAILED),
        ({}, Failed(Failure.OUT_OF_MEMORY, ""), JobState.FAILED),
    ],
)
def test_an_ended_attempt_makes_of_its_job(before: dict[str, Any], outcome: Outcome, state: JobState) -> None:
    assert state == decide(row(**before), outcome).state


def test_the_pause_before_the_next_attempt_grows_and_has_a_limit() -> None:
    def longest(errors: int) -> float:
        failed = Failed(Failure.ERROR, "")
        return max(decide(row(errors=errors, max_attempts=10**6), failed).delay_seconds for _ in range(300))

    assert longest(0) <= 2 < longest(6) <= 128
    assert longest(1000) <= LONGEST_BACKOFF_SECONDS
