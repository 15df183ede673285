"""The figures of a run: each cell's rounds, and what they amount to."""

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from benchmarks.latency.measure_latency import Latency, Place
from benchmarks.latency.measure_throughput import Means
from benchmarks.latency.plan import Plan
from benchmarks.latency.work import Kind


@dataclass(frozen=True)
class Spread:
    """The median of a cell's rounds, with the lowest and the highest of them."""

    median: float
    low: float
    high: float

    @staticmethod
    def of(values: Iterable[float]) -> "Spread":
        """Return the spread of what the rounds measured."""
        known = list(values)
        return Spread(statistics.median(known), min(known), max(known))


@dataclass(frozen=True)
class Figures:
    """Everything that was measured."""

    plan: Plan
    latencies: dict[tuple[Place, int], list[Latency]] = field(default_factory=lambda: defaultdict(list))
    throughputs: dict[tuple[Means, Kind, int], list[float]] = field(default_factory=lambda: defaultdict(list))

    def latency(self, place: Place, jobs: int, part: Callable[[Latency], float]) -> Spread:
        """Return one part of a cell's latency, in milliseconds."""
        return Spread.of(part(each) for each in self.latencies[place, jobs])

    def fewest_requests(self) -> int:
        """Return how many requests there were in the window that had the fewest."""
        return min(each.requests for rounds in self.latencies.values() for each in rounds)

    def refused(self, place: Place) -> int:
        """Return how many of all requests were answered 503."""
        return sum(each.refused for (where, _), rounds in self.latencies.items() if where is place for each in rounds)

    def throughput(self, means: Means, kind: Kind, count: int) -> Spread:
        """Return a cell's throughput, in jobs a second."""
        return Spread.of(self.throughputs[means, kind, count])


def p50(latency: Latency) -> float:
    """Return the latency that half of the requests did not exceed, in milliseconds."""
    return latency.p50


def p99(latency: Latency) -> float:
    """Return the latency that 99 of 100 requests did not exceed, in milliseconds."""
    return latency.p99


def unanswered(latency: Latency) -> float:
    """Return the share of requests that waited for their answers when the last job had ended."""
    return latency.unanswered


def job_seconds(latency: Latency) -> float:
    """Return the seconds that a job took, as its client saw it."""
    return latency.job_seconds


def highest(latency: Latency) -> float:
    """Return the latency of the slowest request, in milliseconds."""
    return latency.highest
