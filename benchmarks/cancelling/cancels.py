"""Cancels jobs while others compute, come and go, and notes how long each cancel took."""

import os
import select
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

import psutil
from tests.acceptance.stack import PATIENCE_SECONDS, Stack

from benchmarks.cancelling.load import Done, steady
from benchmarks.cancelling.plan import KINDS, Plan
from benchmarks.cancelling.setups import Setup

LONG_SECONDS = 100_000
#: As shipped, where the tests' stack has shorter ones; and no time to end for what still runs at the end of a round.
SETTINGS = {"OFFLOAD_LEASE_SECONDS": "30", "OFFLOAD_SWEEP_SECONDS": "2", "OFFLOAD_GRACE_SECONDS": "0.1"}
#: For the jobs of the steady load.
LOAD_SLOTS = 4
#: For which the API may hold a question until the job has changed.
WAIT_SECONDS = 10
#: A job's start is seen right after its worker has spoken with the store, which it does ten times a second. A random
#: pause, longer than that, lets cancels come at any time between.
LONGEST_PAUSE_SECONDS = 0.5


@dataclass(frozen=True)
class Cancel:
    """Seconds that one cancel took, from the moment the request was sent."""

    kind: str
    seen: float  # until GET answered that the job is cancelled
    gone: float  # until its last process was gone


@dataclass(frozen=True)
class Round:
    """What one round measured, and the load that it had."""

    cancels: list[Cancel]
    load: Done
    busy_share: float  # of all cores' time, while jobs were cancelled
    foreign_share: float  # of it, by processes that the benchmark has not started; servers of the setup among them


@dataclass(frozen=True)
class _Spent:
    """Seconds of processor time: all that there were, those that were used, and those that we used."""

    all: float
    used: float
    ours: float  # and of the processes that we have started, once they have ended

    @staticmethod
    def now() -> "_Spent":
        machine = psutil.cpu_times()
        known = [getattr(machine, name, 0.0) for name in ("user", "nice", "system", "irq", "softirq", "steal")]
        idle = [getattr(machine, name, 0.0) for name in ("idle", "iowait")]
        return _Spent(sum(known) + sum(idle), sum(known), sum(os.times()[:4]))

    def foreign_share_since(self, before: "_Spent") -> float:
        used, ours = self.used - before.used, self.ours - before.ours
        return max(0.0, used - ours) / (self.all - before.all)


def measure(setup: Setup, plan: Plan, seed: int, folder: Path) -> Round:
    """Start the services, cancel as many jobs as the plan has, in an order drawn from `seed`, and end them."""
    random = Random(seed)
    kinds = list(KINDS) * plan.cancels
    random.shuffle(kinds)
    pauses = [random.uniform(0, LONGEST_PAUSE_SECONDS) for _ in kinds]
    folder.mkdir()
    before = _Spent.now()
    stack = Stack(folder, setup.store_url, setup.broker_url)
    try:
        stack.environment |= SETTINGS
        stack.start_api()
        slots = plan.busy + plan.at_once + LOAD_SLOTS
        stack.start_worker("--queue", "probe", "--slots", str(slots))
        _warm_up(stack, slots)
        neighbours = [_submitted(stack, "spin") for _ in range(plan.busy)]
        for job_id in neighbours:
            stack.reports(job_id)
        with steady(str(stack.http.base_url), plan.rate) as stop_load:
            psutil.cpu_percent()  # the next call counts from here
            with ThreadPoolExecutor(plan.at_once) as clients:
                cancels = list(clients.map(lambda kind, pause: _cancelled(stack, kind, pause), kinds, pauses))
            busy_share = psutil.cpu_percent() / 100
            load = stop_load()
        _require_untouched(stack, neighbours)
    finally:
        stack.close()
    return Round(cancels, load, busy_share, _Spent.now().foreign_share_since(before))


def _warm_up(stack: Stack, slots: int) -> None:
    """Have each slot's child do a job: a child imports its handlers when it starts."""
    for job_id in [stack.probe("sleep", seconds=1) for _ in range(slots)]:
        stack.ended(job_id)


def _submitted(stack: Stack, action: str) -> str:
    """Submit a job that only a cancel ends; it starts before those of the load."""
    payload = {"action": action, "seconds": LONG_SECONDS}
    return stack.submit("probe", payload, timeout_seconds=LONG_SECONDS, priority=1)


def _cancelled(stack: Stack, kind: str, pause_seconds: float) -> Cancel:
    """Start a job, cancel it after the pause, and return how long that took."""
    job_id = _submitted(stack, KINDS[kind])

    def seen() -> tuple[float, float]:
        sent = time.perf_counter()
        stack.cancel(job_id)
        while stack.job(job_id, Prefer=f"wait={WAIT_SECONDS}")["state"] != "cancelled":
            assert time.perf_counter() < sent + PATIENCE_SECONDS, f"not cancelled: {kind}"
        return sent, time.perf_counter()

    # Two watches at once: processes may be gone before the answer to the cancel has come.
    with _family(stack.reports(job_id)) as family, ThreadPoolExecutor(1) as other:
        time.sleep(pause_seconds)
        asked = other.submit(seen)
        gone_at = _when_gone(family)
        sent_at, seen_at = asked.result()
    return Cancel(kind, seen_at - sent_at, gone_at - sent_at)


@contextmanager
def _family(pids: Sequence[int]) -> Iterator[list[int]]:
    """Give descriptors of the processes that a job says are its own, and of all below them."""
    with ExitStack() as cleanup:
        named = [psutil.Process(pid) for pid in pids]
        every = [*named, *(child for each in named for child in each.children(recursive=True))]
        descriptors = [os.pidfd_open(each.pid) for each in every]
        for descriptor in descriptors:
            cleanup.callback(os.close, descriptor)
        yield descriptors


def _when_gone(family: Sequence[int]) -> float:
    """Wait until the kernel says of each process that it has ended: one that only waits to be reaped has."""
    for descriptor in family:
        readable, _, _ = select.select([descriptor], [], [], PATIENCE_SECONDS)
        assert readable, f"a process is still there after {PATIENCE_SECONDS:g} s"
    return time.perf_counter()


def _require_untouched(stack: Stack, neighbours: Sequence[str]) -> None:
    """Raise unless these jobs still run in their first attempt; then cancel them: a given store keeps nothing."""
    for job_id in neighbours:
        found = stack.job(job_id)
        if (found["state"], found["attempt"]) != ("running", 1):
            raise RuntimeError(f"a neighbour of the cancelled jobs did not go on undisturbed: {found}")
        stack.cancel(job_id)
    for job_id in neighbours:
        stack.ended(job_id)
