"""A thousand jobs of every kind of end, after which a worker holds what it held before, and nothing is left of them."""

import random
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.acceptance.conftest import EMBEDDED_AND_WHOLE
from tests.acceptance.stack import Process, Stack, until

LONG = 100_000
SLOTS = 2


class Kind(NamedTuple):
    """How a kind of job is submitted, how often, and the state it ends in; what is to be cancelled is."""

    times: int
    task: str
    action: str
    options: dict[str, Any]
    state: str


KINDS = [
    Kind(12, "probe", "raise", {"max_attempts": 1}, "failed"),
    Kind(12, "probe", "reject", {}, "failed"),
    Kind(12, "probe", "large-result", {}, "failed"),
    Kind(12, "probe", "leave-daemon", {}, "succeeded"),
    Kind(12, "probe", "spin", {"timeout_seconds": 0.2}, "failed"),
    Kind(12, "probe", "block", {"timeout_seconds": 0.2}, "failed"),
    Kind(12, "probe", "spin", {"cpu_limit_seconds": 0.1}, "failed"),
    Kind(6, "probe", "allocate-in-grandchild", {"memory_limit_mb": 128}, "failed"),
    Kind(12, "probe", "kill-once", {}, "succeeded"),
    Kind(6, "probe", "exit", {}, "failed"),
    Kind(6, "probe", "segfault", {}, "failed"),
    Kind(6, "probe", "broken-frame", {}, "failed"),
    Kind(6, "probe", "crash-and-leave-daemon", {}, "failed"),
    Kind(24, "probe", "daemon", {}, "cancelled"),
    Kind(40, "probe", "artifact", {}, "succeeded"),
    Kind(230, "probe", "return", {}, "succeeded"),
    Kind(150, "probe-thread", "print", {}, "succeeded"),
    Kind(40, "probe-thread", "raise", {"max_attempts": 1}, "failed"),
    Kind(25, "probe-thread", "sleep", {"timeout_seconds": 0.1}, "failed"),
    Kind(25, "probe-thread", "sleep", {}, "cancelled"),
    Kind(150, "probe-event-loop", "print", {}, "succeeded"),
    Kind(40, "probe-event-loop", "raise", {"max_attempts": 1}, "failed"),
    Kind(25, "probe-event-loop", "sleep", {"timeout_seconds": 0.1}, "failed"),
    Kind(25, "probe-event-loop", "sleep", {}, "cancelled"),
    Kind(100, "echo", "", {}, "succeeded"),
]


def run(stack: Stack, kinds: list[Kind]) -> None:
    """Submit a job of each of these kinds, and see that each ends as its kind does."""
    expected: dict[str, str] = {}
    for kind in kinds:
        seconds = LONG if kind.action in ("spin", "sleep", "block", "daemon") else 0
        payload = {"action": kind.action, "seconds": seconds} if kind.action else {"text": "x"}
        expected[stack.submit(kind.task, payload, **kind.options)] = kind.state
    for job_id in [job_id for job_id, state in expected.items() if state == "cancelled"]:
        until(partial(has_started, stack, job_id), "its start")
        stack.cancel(job_id)
    assert expected == {job_id: stack.ended(job_id)["state"] for job_id in expected}


def has_started(stack: Stack, job_id: str) -> bool:
    return bool(stack.job(job_id)["state"] != "queued")


def settled(worker: Process) -> dict[str, Any]:
    """Return what the worker uses once its last children are there."""

    def look() -> dict[str, Any] | None:
        used = worker.health("ready")[1]
        return used if used["running"] == 0 and used["processes"] == SLOTS + 1 else None

    used: dict[str, Any] = until(look, f"a process for each of {SLOTS} slots, and the guardian")
    return used


def descriptors(stack: Stack, used: dict[str, Any]) -> int:
    """Return how many a worker has beside those of its connections to the store, which it opens as they are needed."""
    each = 1 if stack.environment["OFFLOAD_STORE_URL"] else 2  # SQLite: the database and its log
    return int(used["descriptors"] - each * used["store_connections"])


@pytest.mark.timeout(900)
@pytest.mark.parametrize("stack", EMBEDDED_AND_WHOLE, indirect=True)
def test_a_thousand_jobs_leave_no_process_no_descriptor_no_file_and_no_memory(stack: Stack) -> None:
    stack.environment |= {"OFFLOAD_PAUSE_SECONDS": "0.1", "MALLOC_ARENA_MAX": "2"}
    stack.start_api()
    worker = stack.start_worker("--slots", str(SLOTS))
    kinds = [kind for kind in KINDS for _ in range(kind.times)]
    assert 1000 == len(kinds)
    random.Random(3).shuffle(kinds)

    for start in range(0, 300, 50):
        run(stack, kinds[start : start + 50])
    before = settled(worker)
    for start in range(300, 1000, 50):
        run(stack, kinds[start : start + 50])

    def no_more_than_before() -> bool:  # a look may fall on a moment in which something is open that closes again
        after = settled(worker)
        return descriptors(stack, after) <= descriptors(stack, before) and after["threads"] <= before["threads"]

    until(no_more_than_before, "no more descriptors and threads than before")
    assert settled(worker)["memory_mb"] < before["memory_mb"] + 10
    [folder] = Path(stack.environment["TMPDIR"]).iterdir()
    assert [] == list(folder.iterdir())
