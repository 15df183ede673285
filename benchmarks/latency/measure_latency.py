"""Measures how long light requests take while CPU-bound jobs run in one place or another."""

import json
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from benchmarks import generator
from benchmarks.latency import jobs, load
from benchmarks.latency.plan import Plan
from benchmarks.latency.processes import comparison_app, environment, offload_api, offload_worker, python
from benchmarks.page import percentile

#: Between the generator's first request and the first job.
SETTLE_SECONDS = 0.3


class Place(StrEnum):
    """Where jobs run."""

    IN_REQUEST = "in the request"
    ON_THREADS = "on threads of the API"
    OFFLOAD = "in Offload's workers"


@dataclass(frozen=True)
class Latency:
    """Milliseconds that light requests took in one window, and seconds that a job took in it."""

    p50: float
    p99: float
    highest: float
    requests: int
    refused: int  # of them, those that were answered 503
    unanswered: float  # the share of these requests that waited for their answers when the last job had ended
    job_seconds: float  # of the median job, as its client saw it; 0 without jobs


Report = Callable[[Place, int, Latency], None]


def measure(plan: Plan, amount: int, folder: Path, report: Report) -> None:
    """Measure every cell once, with jobs of `amount` iterations, and report each."""
    with comparison_app(folder / "comparison") as url:
        with offload_worker(folder / "comparison", 1):
            path = stored_job(jobs.OffloadClient(url), amount // 4)
        client = jobs.ComparisonClient(url)
        for place, run in ((Place.IN_REQUEST, client.in_request), (Place.ON_THREADS, client.on_thread)):
            for count in plan.jobs:
                report(place, count, _cell(url + path, run, count, amount, plan.window_seconds))
    # As many slots as jobs, so that all of them run at once here as they do in the other places.
    slots = max(plan.jobs)
    with offload_api(folder / "offload") as url, offload_worker(folder / "offload", slots):
        offload = jobs.OffloadClient(url)
        path = stored_job(offload, amount // 4)
        warm_up(offload, slots, amount // 4)
        for count in plan.jobs:
            latency = _cell(url + path, offload.run, count, amount, plan.window_seconds)
            report(Place.OFFLOAD, count, latency)


def stored_job(client: jobs.OffloadClient, amount: int) -> str:
    """Have a job done, and return the path at which it can be read from now on."""
    job_id = client.submit("python", amount)
    client.wait(job_id)
    return f"/v1/jobs/{job_id}"


def warm_up(client: jobs.OffloadClient, slots: int, amount: int) -> None:
    """Have each of a worker's children do a job: a child imports its handlers when it starts."""
    for job_id in [client.submit("python", amount) for _ in range(slots)]:
        client.wait(job_id)


def _cell(url: str, run: jobs.Run, count: int, amount: int, least_seconds: float) -> Latency:
    """Return the latency of `url` while `count` jobs run at once, each followed by another until the time is up."""

    def lane() -> list[float]:
        took = []
        while (started := time.monotonic()) - began < least_seconds:
            run("python", amount)
            took.append(time.monotonic() - started)
        return took

    with _load(url) as stop_load, jobs.client_threads(count) as threads:
        time.sleep(SETTLE_SECONDS)
        began = time.monotonic()
        lanes = [threads.submit(lane) for _ in range(count)]
        job_seconds = [seconds for each in lanes for seconds in each.result()]
        if not lanes:
            time.sleep(least_seconds)
        ended = time.monotonic()
        due = [sample for sample in stop_load() if began <= sample[0] <= ended]
    ordered = sorted(took for _, took, _ in due)
    return Latency(
        p50=percentile(ordered, 0.5),
        p99=percentile(ordered, 0.99),
        highest=ordered[-1],
        requests=len(due),
        refused=sum(refused for *_, refused in due),
        unanswered=sum(intended + took / 1000 > ended for intended, took, _ in due) / len(due),
        job_seconds=statistics.median(job_seconds) if job_seconds else 0.0,
    )


@contextmanager
def _load(url: str) -> Iterator[Callable[[], list[load.Sample]]]:
    """Run the load generator; yields the function that ends it and returns its samples.

    Its clock is ours: `time.monotonic()` is the same in all processes of a machine.
    """
    command, seconds = python("load", url), 2 * load.TIMEOUT_SECONDS
    with generator.running(command, end_seconds=seconds, env=environment(), start_new_session=True) as stop:
        yield lambda: [(intended, took, refused) for intended, took, refused in json.loads(stop())]
