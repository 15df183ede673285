"""Draws the figures: latency against the number of jobs, throughput against the number of threads or processes."""

from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from benchmarks.latency.figures import Figures, Spread, p50, p99
from benchmarks.latency.measure_latency import Place
from benchmarks.latency.measure_throughput import Means
from benchmarks.latency.report import COLUMNS
from benchmarks.latency.work import Kind

# Of Okabe and Ito's palette, which colour-blind people tell apart; marker and dash say it again.
VERMILION, BLUE, GREEN, GREY = "#D55E00", "#0072B2", "#009E73", "#555555"

PLACES = {
    Place.IN_REQUEST: (VERMILION, "s", "in the request"),
    Place.ON_THREADS: (BLUE, "^", "on threads"),
    Place.OFFLOAD: (GREEN, "o", "in Offload"),
}
MEANS: dict[tuple[Kind, Means], tuple[str, str, str, str]] = {
    ("python", Means.THREADS): (BLUE, "^", "-", "Python, threads"),
    ("python", Means.PROCESSES): (GREEN, "o", "-", "Python, Offload"),
    ("c", Means.THREADS): (BLUE, "^", "--", "C, threads"),
    ("c", Means.PROCESSES): (GREEN, "o", "--", "C, Offload"),
}

#: Between two labels, as a share of the panel's height.
LABEL_GAP = 0.065


def draw(figures: Figures, path: Path) -> None:
    """Write the plot, in the format that the path's ending names."""
    with mpl.rc_context():
        _set_style()
        figure = Figure(figsize=(10.6, 4.6), layout="constrained")
        left, right = figure.subplots(1, 2)
        _draw_latency(figures, left)
        _draw_throughput(figures, right)
        metadata = {"Date": None} if path.suffix == ".svg" else None
        figure.savefig(path, metadata=metadata, dpi=120)


def _set_style() -> None:
    mpl.rc("svg", fonttype="none", hashsalt="offload")  # text stays text; the same figures give the same file
    mpl.rc("font", family="sans-serif", size=10)
    mpl.rc("axes", titlelocation="left", titlesize=11)
    mpl.rc("axes.spines", top=False, right=False)


def _draw_latency(figures: Figures, axes: Axes) -> None:
    labels: list[tuple[float, str, str]] = []
    for place, (colour, marker, name) in PLACES.items():
        for part, line, percentile in ((p50, "--", "p50"), (p99, "-", "p99")):
            spreads = [figures.latency(place, count, part) for count in figures.plan.jobs]
            _line(axes, spreads, colour, marker, line)
            labels.append((spreads[-1].median, f"{name}, {percentile}", colour))
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.set_title("Latency of GET /v1/jobs/{id}, ms")
    _finish(axes, figures.plan.jobs, "CPU-bound jobs at once", labels)


def _draw_throughput(figures: Figures, axes: Axes) -> None:
    labels: list[tuple[float, str, str]] = []
    for kind, means in COLUMNS:
        colour, marker, line, name = MEANS[kind, means]
        spreads = [figures.throughput(means, kind, count) for count in figures.plan.parallel]
        _line(axes, spreads, colour, marker, line)
        labels.append((spreads[-1].median, name, colour))
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.set_title("CPU-bound jobs a second")
    _finish(axes, figures.plan.parallel, "threads of one process, or Offload's worker slots", labels)


def _line(axes: Axes, spreads: list[Spread], colour: str, marker: str, line: str) -> None:
    places = range(len(spreads))
    medians = [spread.median for spread in spreads]
    axes.fill_between(
        places, [each.low for each in spreads], [each.high for each in spreads], color=colour, alpha=0.12, linewidth=0
    )
    axes.plot(places, medians, color=colour, linestyle=line, marker=marker, markersize=5, linewidth=1.6, clip_on=False)


def _finish(axes: Axes, counts: tuple[int, ...], label: str, labels: list[tuple[float, str, str]]) -> None:
    axes.set_xticks(range(len(counts)), [str(count) for count in counts])
    axes.set_xlim(-0.15, len(counts) - 1)
    axes.set_xlabel(label, color=GREY)
    axes.margins(y=0.08)
    _label_ends(axes, labels)


def _label_ends(axes: Axes, labels: list[tuple[float, str, str]]) -> None:
    """Write each line's name at its right end, moved up where it would cover the one below."""
    to_panel = axes.transData + axes.transAxes.inverted()
    lowest = -1.0
    placed = sorted((float(to_panel.transform((0, value))[1]), name, colour) for value, name, colour in labels)
    for height, name, colour in placed:
        lowest = max(height, lowest + LABEL_GAP)
        axes.annotate(name, (1.03, lowest), xycoords="axes fraction", color=colour, va="center", annotation_clip=False)
