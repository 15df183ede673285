"""Writes the figures as Markdown."""

import textwrap

from benchmarks.latency.drawbacks import drawbacks
from benchmarks.latency.figures import Figures, Spread, highest, job_seconds, p50, p99, unanswered
from benchmarks.latency.measure_latency import Place
from benchmarks.latency.measure_throughput import Means
from benchmarks.latency.work import Kind
from benchmarks.page import number, percent, where_and_when

#: As long as the lines of the page around the figures.
LINE = 128
#: Of the throughput that a thread has alone on a core.
UNDISTURBED_SHARE = 0.9
#: Of a window's requests, unanswered at its end: then they queue up, and no latency is the place's own.
OVERLOAD_SHARE = 0.25

#: The columns of throughput, from left to right.
COLUMNS: tuple[tuple[Kind, Means], ...] = (
    ("python", Means.THREADS),
    ("python", Means.PROCESSES),
    ("c", Means.THREADS),
    ("c", Means.PROCESSES),
)
WORK: dict[Kind, str] = {"python": "pure Python", "c": "C without the GIL"}


def page_part(figures: Figures) -> str:
    """Return everything on the page that a run decides."""
    parts = (
        _circumstances(figures),
        disturbance(figures),
        latency_table(figures),
        _overload(figures),
        throughput_table(figures),
        "## What speaks against it\n\n" + "\n".join(_item(each) for each in drawbacks(figures)),
    )
    return "\n\n".join(part for part in parts if part)


def _item(sentence: str) -> str:
    return textwrap.fill(f"- {sentence}", LINE, subsequent_indent="  ", break_on_hyphens=False)


def summary(figures: Figures) -> str:
    """Return the core of it in a sentence: the 99th percentiles under the largest load."""
    count = figures.plan.jobs[-1]
    shares = (f"{number(figures.latency(place, count, p99).median)} ms {place}" for place in Place)
    return f"With {count} jobs at once, 99 of 100 requests took at most: {', '.join(shares)}."


def disturbance(figures: Figures) -> str | None:
    """Return a sentence that says so when other processes took the processor from this run, else None."""
    # The job's size was chosen by the processor's time, so a thread that has a core to itself does so many a second.
    alone = 1 / figures.plan.parallel_job_seconds
    measured = figures.throughput(Means.THREADS, "python", 1).median
    if measured >= UNDISTURBED_SHARE * alone:
        return None
    return (
        f"**Other processes disturbed this run**: one thread did {number(measured)} jobs/s where alone on a core it "
        f"does {number(alone)}.\nThe figures of throughput suffer most. Repeat the run while nothing else computes."
    )


def latency_table(figures: Figures) -> str:
    """Return milliseconds for each place and number of jobs."""
    lines = [
        "| jobs run | how many | p50, ms | p99, ms | slowest, ms | a job took, s |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for place in Place:
        for count in figures.plan.jobs:
            cells = [_spread(figures.latency(place, count, part)) for part in (p50, p99, highest)]
            cells.append(_spread(figures.latency(place, count, job_seconds)) if count else "")
            mark = " *" if _overloaded(figures, place, count) else ""
            lines.append(f"| {place} | {count}{mark} | {' | '.join(cells)} |")
    return "\n".join(lines)


def throughput_table(figures: Figures) -> str:
    """Return jobs a second for each kind of work, means and number of them."""
    lines = [
        f"| how many | {' | '.join(f'{WORK[kind]}, {means}, jobs/s' for kind, means in COLUMNS)} |",
        f"|---:|{'---:|' * len(COLUMNS)}",
    ]
    for count in figures.plan.parallel:
        cells = (_spread(figures.throughput(means, kind, count)) for kind, means in COLUMNS)
        lines.append(f"| {count} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _circumstances(figures: Figures) -> str:
    rounds = figures.plan.rounds
    return (
        f"{where_and_when()}, in {rounds} round{'s' if rounds > 1 else ''}.\n"
        f"Each round times {figures.fewest_requests():,} requests or more for each row. A figure is the median of the "
        "rounds; the lowest and the highest are in brackets."
    )


def _overloaded(figures: Figures, place: Place, count: int) -> bool:
    return figures.latency(place, count, unanswered).median > OVERLOAD_SHARE


def _overload(figures: Figures) -> str | None:
    """Return the legend of the rows that say how long the benchmark lasted rather than how long a request takes."""
    if not any(_overloaded(figures, place, count) for place in Place for count in figures.plan.jobs):
        return None
    return (
        f"\\* Requests came faster than they were answered: over {percent(OVERLOAD_SHARE)} of them still waited when "
        "the last job ended.\nThese latencies would grow with a longer window, and shrink with fewer requests."
    )


def _spread(spread: Spread) -> str:
    return f"{number(spread.median)} ({number(spread.low)} to {number(spread.high)})"
