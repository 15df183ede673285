"""How long a cancel takes, from POST until the job is `cancelled` and its processes gone, while every core computes.

Runs the services as the acceptance tests do, and cancels the tests' probe jobs, which resist in every way there is.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from itertools import cycle
from pathlib import Path

from tests.acceptance.stack import Stack, gone, until

KINDS = {
    "a loop in Python": "spin",
    "one call inside C": "spin-in-c",
    "SIGTERM ignored": "ignore-sigterm",
    "a blocked system call": "block",
    "a grandchild": "grandchild",
    "a daemon": "daemon",
}
LONG_SECONDS = 100_000


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cancelling", description=__doc__)
    parser.add_argument("--cancels", type=int, default=240, help="jobs to cancel [default: %(default)s]")
    parser.add_argument("--busy", type=int, default=4, help="jobs that compute meanwhile [default: %(default)s]")
    parser.add_argument("--broker", default="", help="amqp://... [default: none, embedded]")
    parser.add_argument("--store", default="", help="postgresql+psycopg://... [default: SQLite]")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        stack = Stack(Path(folder), options.store, options.broker)
        try:
            taken = measure(stack, cancels=options.cancels, busy=options.busy)
        finally:
            stack.close()
    show(taken, busy=options.busy)


def measure(stack: Stack, *, cancels: int, busy: int) -> dict[str, list[float]]:
    """Return the seconds that cancels of each kind of job took, one after another."""
    stack.environment |= {"OFFLOAD_LEASE_SECONDS": "30", "OFFLOAD_GRACE_SECONDS": "0.1"}
    stack.start_api()
    stack.start_worker("--queue", "probe", "--slots", str(busy + 1))
    computing = [stack.probe("spin", seconds=LONG_SECONDS) for _ in range(busy)]
    for job_id in computing:
        stack.reports(job_id)
    taken: dict[str, list[float]] = {name: [] for name in KINDS}
    for number, (name, action) in zip(range(cancels), cycle(KINDS.items()), strict=False):
        taken[name].append(cancelled(stack, action))
        print(f"\r{number + 1} of {cancels} cancelled", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    assert {"running"} == {stack.job(job_id)["state"] for job_id in computing}
    return taken


def cancelled(stack: Stack, action: str) -> float:
    """Return the seconds that one cancel took."""
    job_id = stack.probe(action, seconds=LONG_SECONDS)
    pids = stack.reports(job_id)
    began = time.perf_counter()
    stack.cancel(job_id)
    until(lambda: stack.job(job_id)["state"] == "cancelled" and all(gone(pid) for pid in pids), "its end")
    return time.perf_counter() - began


def show(taken: dict[str, list[float]], *, busy: int) -> None:
    """Print the median, the 99th percentile and the maximum of each kind, in milliseconds."""
    print(f"\nCancel of a running job, ms, while {busy} other jobs compute on {os.cpu_count()} cores:\n")
    print("| the job | cancels | p50 | p99 | max |\n|---|---|---|---|---|")
    for name, seconds in {**taken, "all": [each for kind in taken.values() for each in kind]}.items():
        times = sorted(each * 1000 for each in seconds)
        p99 = times[min(len(times) - 1, round(0.99 * (len(times) - 1)))]
        print(f"| {name} | {len(times)} | {statistics.median(times):.0f} | {p99:.0f} | {times[-1]:.0f} |")


if __name__ == "__main__":
    main()
