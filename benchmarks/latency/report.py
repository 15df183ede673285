"""Writes the figures as Markdown, and into the page that shows them."""

import os
import platform
import sys
from datetime import date
from pathlib import Path

from benchmarks.latency.figures import Figures, Spread, highest, p50, p99
from benchmarks.latency.measure_latency import Place
from benchmarks.latency.measure_throughput import Means
from benchmarks.latency.work import Kind

BEGIN = "<!-- figures: written by make bench-latency -->"
END = "<!-- end of figures -->"

#: Of the throughput that a thread has alone on a core.
UNDISTURBED_SHARE = 0.9

#: The columns of throughput, from left to right.
COLUMNS: tuple[tuple[Kind, Means], ...] = (
    ("python", Means.THREADS),
    ("python", Means.PROCESSES),
    ("c", Means.THREADS),
    ("c", Means.PROCESSES),
)
WORK: dict[Kind, str] = {"python": "pure Python", "c": "C without the GIL"}


def page_part(figures: Figures) -> str:
    """Return everything on the page that a run renews."""
    parts = (_circumstances(figures), disturbance(figures), latency_table(figures), throughput_table(figures))
    return "\n\n".join(part for part in parts if part)


def replace_figures(page: Path, part: str) -> None:
    """Put `part` between the page's two markers; raises `ValueError` when it lacks one."""
    text = page.read_text()
    before, _, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        msg = f"{page} has no {BEGIN!r} followed by {END!r}"
        raise ValueError(msg)
    page.write_text(f"{before}{BEGIN}\n\n{part}\n\n{END}{after}")


def summary(figures: Figures) -> str:
    """Return the core of it in a sentence: the 99th percentiles under the largest load."""
    count = figures.plan.jobs[-1]
    shares = (f"{_number(figures.latency(place, count, p99).median)} ms {place}" for place in Place)
    return f"With {count} jobs at once, 99 of 100 requests took at most: {', '.join(shares)}."


def disturbance(figures: Figures) -> str | None:
    """Return a sentence that says so when other processes took the processor from this run, else None."""
    # The job's size was chosen by the processor's time, so a thread that has a core to itself does so many a second.
    alone = 1 / figures.plan.parallel_job_seconds
    measured = figures.throughput(Means.THREADS, "python", 1).median
    if measured >= UNDISTURBED_SHARE * alone:
        return None
    return (
        f"**Other processes disturbed this run**: one thread did {_number(measured)} jobs/s where alone on a core it "
        f"does {_number(alone)}.\nThe figures of throughput suffer most. Repeat the run while nothing else computes."
    )


def latency_table(figures: Figures) -> str:
    """Return milliseconds for each place and number of jobs."""
    lines = [
        "| jobs run | how many | p50, ms | p99, ms | slowest, ms |",
        "|---|---:|---:|---:|---:|",
    ]
    for place in Place:
        for count in figures.plan.jobs:
            cells = (_spread(figures.latency(place, count, part)) for part in (p50, p99, highest))
            lines.append(f"| {place} | {count} | {' | '.join(cells)} |")
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
    # The date of the run on the machine's own calendar: nobody compares it across time zones.
    today = date.today().isoformat()  # noqa: DTZ011
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    python = f"{platform.python_implementation()} {platform.python_version()}"
    rounds = figures.plan.rounds
    return (
        f"Measured on {today} on a machine with {cores} cores ({platform.machine()}, {sys.platform}), {python}, "
        f"in {rounds} round{'s' if rounds > 1 else ''}.\n"
        "A figure is the median of the rounds; the lowest and the highest are in brackets."
    )


def _spread(spread: Spread) -> str:
    return f"{_number(spread.median)} ({_number(spread.low)} to {_number(spread.high)})"


def _number(value: float) -> str:
    """Return about three digits: nothing here is more exact."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
