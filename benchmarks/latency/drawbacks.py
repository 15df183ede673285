"""Says in sentences what a run's figures hold against computing in Offload's workers."""

from benchmarks.latency.figures import Figures, highest, job_seconds, p99
from benchmarks.latency.measure_latency import Place
from benchmarks.latency.measure_throughput import Means
from benchmarks.page import number, percent

#: Closer than this, two figures are the same.
NOTICEABLE_SHARE = 0.02
#: A p99 that few users would notice.
UNNOTICED_MS = 50


def drawbacks(figures: Figures) -> list[str]:
    """Return a sentence for each drawback that these figures show."""
    found = (each(figures) for each in (_c_on_threads, _one_by_one, _load_on_the_api, _duration, _few_jobs, _refused))
    return [sentence for sentence in found if sentence]


def _c_on_threads(figures: Figures) -> str:
    count = figures.plan.parallel[-1]
    threads = figures.throughput(Means.THREADS, "c", count).median
    offload = figures.throughput(Means.PROCESSES, "c", count).median
    rates = f"{number(threads)} jobs/s on {count} threads of one process, {number(offload)} in {count} worker slots"
    compared = _compared(offload, threads)
    return (
        f"C code that releases the GIL does not need another process to use all cores: {rates} ({compared}). What a "
        "worker adds for such code is limits, a cancel that ends it, and an API that does not crash with it; not speed."
    )


def _one_by_one(figures: Figures) -> str:
    thread = figures.throughput(Means.THREADS, "python", 1).median
    slot = figures.throughput(Means.PROCESSES, "python", 1).median
    compared = _compared(slot, thread)
    return (
        f"Every job pays for being submitted, stored, claimed and answered. One after another, pure Python: "
        f"{number(thread)} jobs/s on a thread, {number(slot)} in a slot ({compared})."
    )


def _load_on_the_api(figures: Figures) -> str:
    count = figures.plan.jobs[-1]
    idle, busy = (figures.latency(Place.OFFLOAD, jobs, p99).median for jobs in (0, count))
    slowest = figures.latency(Place.OFFLOAD, count, highest).high
    return (
        f"Jobs and API share the cores here, so jobs are felt in Offload too: p99 is {number(idle)} ms without a job "
        f"and {number(busy)} ms with {count}, and the slowest request of all rounds took {number(slowest)} ms. Only "
        "workers on machines of their own are not felt at all."
    )


def _duration(figures: Figures) -> str:
    here, there = (figures.latency(place, 1, job_seconds).median for place in (Place.ON_THREADS, Place.OFFLOAD))
    return (
        "Children run at nice 10, so a job gives way to whatever else wants its core. A job that shares "
        f"the machine with the timed requests alone took {number(there)} s in Offload, {number(here)} s on a thread."
    )


def _few_jobs(figures: Figures) -> str | None:
    threads = figures.latency(Place.ON_THREADS, 1, p99).median
    if threads > UNNOTICED_MS:
        return None
    return (
        f"With one job at a time, a thread of the API keeps the requests' p99 at {number(threads)} ms: where jobs are "
        "rare and may be lost, that is enough."
    )


def _refused(figures: Figures) -> str | None:
    refused = figures.refused(Place.OFFLOAD)
    if not refused:
        return None
    return (
        f"Offload answered 503 to {refused} of the timed requests, as its store's answer took longer than 2.5 s. In "
        "the other places the API was told to wait for it."
    )


def _compared(offload: float, threads: float) -> str:
    """Return by how many percent Offload differs from threads."""
    share = offload / threads - 1
    if abs(share) < NOTICEABLE_SHARE:
        return "the same"
    return f"{percent(abs(share))} {'more' if share > 0 else 'fewer'} in Offload"
