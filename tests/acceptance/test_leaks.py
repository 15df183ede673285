"""A thousand jobs of every kind of end, after which API and worker hold what they held before, and nothing is left."""

import random
import signal
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest
from sqlalchemy import make_url

from offload_shared.job import Failure
from tests.acceptance.conftest import EMBEDDED_AND_WHOLE
from tests.acceptance.stack import Process, Stack, until

LONG = 100_000
SLOTS = 2
#: For all slots of both queues on three workers.
MOVED_AT_ONCE = 3 * 2 * SLOTS
ENDS = {*map(str, Failure), "succeeded", "cancelled", "released"} - {Failure.DEPENDENCY}  # which no attempt has


class Kind(NamedTuple):
    """How a kind of job is submitted, how often, and the state it ends in; what is to be cancelled is."""

    times: int
    task: str
    action: str
    options: dict[str, Any]
    state: str
    seconds_to_start: float | None = None  # which its deadline leaves


#: What stays in a first attempt, and returns in a further one.
MOVED = {"probe": "daemon-once", "probe-thread": "sleep-once", "probe-event-loop": "sleep-once"}


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
    Kind(186, "probe", "return", {}, "succeeded"),
    Kind(20, "probe", "reject", {}, "failed", seconds_to_start=0.1),
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


def run(stack: Stack, kinds: list[Kind]) -> set[str]:
    """Submit a job of each of these kinds, see that each ends as its kind does, and return all ends of attempts."""
    expected: dict[str, str] = {}
    for kind in kinds:
        seconds = LONG if kind.action in ("spin", "sleep", "block", "daemon") else 0
        payload = {"action": kind.action, "seconds": seconds} if kind.action else {"text": "x"}
        options = dict(kind.options)
        if kind.seconds_to_start is not None:
            options["deadline"] = (datetime.now(UTC) + timedelta(seconds=kind.seconds_to_start)).isoformat()
        expected[stack.submit(kind.task, payload, **options)] = kind.state
    for job_id in [job_id for job_id, state in expected.items() if state == "cancelled"]:
        until(partial(has_started, stack, job_id), "its start")
        stack.cancel(job_id)
    jobs = [stack.ended(job_id) for job_id in expected]
    assert expected == {job["id"]: job["state"] for job in jobs}
    return ends(jobs)


def move(stack: Stack) -> set[str]:
    """Have jobs of two further workers, one told to end and one killed, run again on the first; return all ends."""
    ending, killed = (stack.start_worker("--slots", str(SLOTS)) for _ in range(2))
    tasks = ["probe", "probe-thread", "probe", "probe-event-loop"] * (MOVED_AT_ONCE // 4)
    job_ids = [stack.submit(task, {"action": MOVED[task], "seconds": LONG}) for task in tasks]
    until(lambda: all(has_begun(stack.job(job_id)) for job_id in job_ids), "their start on all three workers")

    killed.kill()
    ending.send(signal.SIGTERM)
    moved = until(partial(begun_before, stack, job_ids), "the end of all attempts on both")
    assert 0 == ending.wait()

    for job_id in set(job_ids) - set(moved):
        stack.cancel(job_id)
    jobs = [stack.ended(job_id) for job_id in job_ids]
    assert {job["state"] for job in jobs if job["id"] in moved} == {"succeeded"}
    return ends(jobs)


def has_begun(job: dict[str, Any]) -> bool:
    return bool(job["progress"] or job["attempts"])


def begun_before(stack: Stack, job_ids: list[str]) -> list[str] | None:
    """Return which of these jobs have had an attempt, once that is true of all that the first worker does not run."""
    moved = [job_id for job_id in job_ids if stack.outcomes(job_id)]
    return moved if len(moved) >= MOVED_AT_ONCE * 2 // 3 else None


def ends(jobs: list[dict[str, Any]]) -> set[str]:
    """Return how these jobs and their attempts have ended."""
    attempts = {each["failure"] or each["outcome"] for job in jobs for each in job["attempts"]}
    failures = {job["error"]["type"].removeprefix("/problems/job-") for job in jobs if job["error"]}
    return attempts | {failure.replace("-", "_") for failure in failures}


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


def memory_mb(process: Process) -> float:
    return float(psutil.Process(process.pid).memory_info().rss / 2**20)


def descriptors_of_api(stack: Stack, api: Process) -> int:
    """Return how many an API has beside those of its connections to the store, which it opens as they are needed."""
    process = psutil.Process(api.pid)
    if url := stack.environment["OFFLOAD_STORE_URL"]:
        port = make_url(url).port
        connections = len([each for each in process.net_connections("tcp") if each.raddr and each.raddr.port == port])
    else:
        connections = len([each for each in process.open_files() if Path(each.path).name.startswith("offload.db")])
    return process.num_fds() - connections


@pytest.mark.timeout(900)
@pytest.mark.parametrize("stack", EMBEDDED_AND_WHOLE, indirect=True)
def test_a_thousand_jobs_leave_no_process_no_descriptor_no_file_and_no_memory(stack: Stack) -> None:
    stack.environment |= {"OFFLOAD_PAUSE_SECONDS": "0.1", "MALLOC_ARENA_MAX": "2"}
    api = stack.start_api()
    worker = stack.start_worker("--slots", str(SLOTS))
    [own] = stack.temporary()
    kinds = [kind for kind in KINDS for _ in range(kind.times)]
    assert 1000 == len(kinds) + 2 * MOVED_AT_ONCE
    random.Random(3).shuffle(kinds)

    seen = move(stack)
    for start in range(0, 300, 50):
        seen |= run(stack, kinds[start : start + 50])
    before = settled(worker)
    api_before = (descriptors_of_api(stack, api), memory_mb(api))
    for start in range(300, len(kinds), 50):
        seen |= run(stack, kinds[start : start + 50])
    seen |= move(stack)
    assert ENDS == seen

    def no_more_than_before() -> bool:  # a look may fall on a moment in which something is open that closes again
        after = settled(worker)
        return descriptors(stack, after) <= descriptors(stack, before) and after["threads"] <= before["threads"]

    until(no_more_than_before, "no more descriptors and threads than before")
    assert settled(worker)["memory_mb"] < before["memory_mb"] + 10
    until(lambda: descriptors_of_api(stack, api) <= api_before[0], "no more descriptors of the API than before")
    assert memory_mb(api) < api_before[1] + 10
    until(lambda: stack.living() <= {api.pid, worker.pid, *worker.children()}, "the end of all other processes")
    until(lambda: [own] == stack.temporary() and not list(own.iterdir()), "the end of all temporary files but its own")
