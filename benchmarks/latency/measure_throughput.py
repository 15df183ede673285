"""Measures how many CPU-bound jobs a second are done by threads of one process and by Offload's workers."""

import subprocess
import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

from benchmarks.latency import jobs
from benchmarks.latency.measure_latency import warm_up
from benchmarks.latency.plan import Plan
from benchmarks.latency.processes import environment, offload_api, offload_worker, python
from benchmarks.latency.work import Kind


class Means(StrEnum):
    """What runs jobs side by side."""

    THREADS = "threads"
    PROCESSES = "Offload's processes"


#: Gets jobs a second.
Report = Callable[[Means, Kind, int, float], None]


def measure(plan: Plan, amounts: dict[Kind, int], folder: Path, report: Report) -> None:
    """Measure every cell once, with jobs of so many iterations, and report each."""
    with offload_api(folder) as url:
        client = jobs.OffloadClient(url)
        for count in plan.parallel:
            # One after the other for each count, so that a disturbance of the machine does not fall on one means alone;
            # the worker starts after the threads have ended, as it looks for jobs all the time.
            for kind, amount in amounts.items():
                seconds = _seconds_on_threads(plan, kind, amount, count)
                report(Means.THREADS, kind, count, plan.parallel_jobs / seconds)
            with offload_worker(folder, count):
                warm_up(client, count, amounts["python"] // 2)
                for kind, amount in amounts.items():
                    seconds = _seconds_in_offload(plan, client, kind, amount)
                    report(Means.PROCESSES, kind, count, plan.parallel_jobs / seconds)


def _seconds_on_threads(plan: Plan, kind: Kind, amount: int, threads: int) -> float:
    command = python("threads", kind, str(amount), str(plan.parallel_jobs), str(threads))
    # Without the start of the process, which says how long the jobs alone took.
    return float(subprocess.run(command, env=environment(), check=True, capture_output=True, text=True).stdout)


def _seconds_in_offload(plan: Plan, client: jobs.OffloadClient, kind: Kind, amount: int) -> float:
    """Return the time from the first job's submission to the last one's result."""
    started = time.monotonic()
    for job_id in [client.submit(kind, amount) for _ in range(plan.parallel_jobs)]:
        client.wait(job_id)
    return time.monotonic() - started
