"""Measures what it buys to compute outside the web process, and shows it in docs/latency.md and docs/latency.svg."""

import argparse
import resource
import signal
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.arguments import positive
from benchmarks.latency import measure_latency, measure_throughput, plot, report
from benchmarks.latency.figures import Figures
from benchmarks.latency.measure_latency import Latency, Place
from benchmarks.latency.measure_throughput import Means
from benchmarks.latency.plan import Plan, full, quick
from benchmarks.latency.work import Kind, iterations_per_second
from benchmarks.page import DOCS, write_page

TEMPLATE = Path(__file__).with_name("page.md")
KINDS: tuple[Kind, ...] = ("python", "c")
#: More than the load generator's connections.
OPEN_FILES = 1024
INTERRUPTED = 130


def main() -> None:
    """Measure, print, and write the page and its plot."""
    arguments = _arguments()
    plan = quick() if arguments.quick else full(arguments.rounds)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    _allow_open_files()
    started = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="offload-bench-") as folder:
            figures = _measure(plan, Path(folder))
            part = report.page_part(figures)
            print(f"\n{part}\n\n{report.summary(figures)}")
            if arguments.quick:
                plot.draw(figures, Path(folder, "latency.svg"))
                print("No file was changed: the figures of --quick are not worth showing.")
            else:
                plot.draw(figures, arguments.docs / "latency.svg")
                write_page(arguments.docs / "latency.md", TEMPLATE, part)
                print(f"Wrote {arguments.docs / 'latency.md'} and latency.svg beside it.")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    print(f"It took {time.monotonic() - started:.0f} s.")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.latency",
        description=f"{__doc__} Everything runs on this machine's loopback; it takes about twelve minutes. "
        "Run it while nothing else computes: whatever does, disturbs the figures.",
    )
    parser.add_argument(
        "--rounds",
        type=positive,
        default=3,
        metavar="N",
        help="measure every cell N times, each round going through all of them; default: 3",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="only show that it works, in about a minute: one round of few and small cells, and no file is changed",
    )
    parser.add_argument(
        "--docs",
        type=Path,
        default=DOCS,
        metavar="FOLDER",
        help="where to write latency.md and latency.svg; default: the repository's docs",
    )
    return parser.parse_args()


def _allow_open_files() -> None:
    """Let this process and those it starts have as many connections as they need; some systems begin with 256."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < OPEN_FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, hard))


def _measure(plan: Plan, folder: Path) -> Figures:
    figures = Figures(plan)
    speeds = {kind: iterations_per_second(kind) for kind in KINDS}
    for kind, speed in speeds.items():
        _say(
            f"{report.WORK[kind]}: {speed:,.0f} iterations a second alone; a job is the same number of them everywhere"
        )
    amount = round(speeds["python"] * plan.job_seconds)
    amounts = {kind: round(speed * plan.parallel_job_seconds) for kind, speed in speeds.items()}

    def note_latency(place: Place, jobs: int, latency: Latency) -> None:
        figures.latencies[place, jobs].append(latency)
        took = f"p50 {latency.p50:.1f} ms, p99 {latency.p99:.1f} ms, slowest {latency.highest:.1f} ms"
        _say(f"  {jobs} job{'' if jobs == 1 else 's'} {place}: {took}, {latency.requests} requests")

    def note_throughput(means: Means, kind: Kind, count: int, jobs_per_second: float) -> None:
        figures.throughputs[means, kind, count].append(jobs_per_second)
        _say(f"  {report.WORK[kind]}, {means}, {count} at once: {jobs_per_second:.2f} jobs/s")

    for number in range(1, plan.rounds + 1):
        _say(f"Round {number} of {plan.rounds}")
        measure_latency.measure(plan, amount, folder / f"latency-{number}", note_latency)
        measure_throughput.measure(plan, amounts, folder / f"throughput-{number}", note_throughput)
    return figures


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
