"""What a worker counts, in the text format of Prometheus."""

from collections.abc import Callable, Iterator, Mapping

import msgspec
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from offload_shared.job import Failed, Outcome

#: Seconds: a claim is one statement, and waits for the store's other writers.
CLAIM_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

# A further sample of each counter would be when it was made.
disable_created_metrics()  # type: ignore[no-untyped-call] # the library does not say that it returns nothing


class Gauges(msgspec.Struct, frozen=True, kw_only=True):
    """What is read when somebody asks."""

    running: Mapping[str, int]  # jobs, by queue
    slots: Mapping[str, int]  # by queue, taken ones too
    child_restarts: int
    draining: bool
    paused: bool


class WorkerMetrics:
    """Counts what the executor tells it, from any thread; one for each worker."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._claims = Histogram(
            "offload_claim_seconds",
            "How long claims took, also those that found nothing to claim.",
            buckets=CLAIM_BUCKETS,
            registry=self.registry,
        )
        self._refused = Counter(
            "offload_claims_refused", "Hints that were dropped: no claim was to be had.", registry=self.registry
        )
        self._ended = Counter(
            "offload_attempts_ended", "Attempts that ended here.", ["task", "outcome"], registry=self.registry
        )

    def claimed(self, seconds: float, *, refused: bool) -> None:
        """Count a claim that the store has answered."""
        self._claims.observe(seconds)
        if refused:
            self._refused.inc()

    def ended(self, task: str, outcome: Outcome | None, *, stored: bool) -> None:
        """Count an attempt that has ended; one whose outcome is nobody's to store was fenced."""
        self._ended.labels(task, _named(outcome) if stored else "fenced").inc()

    def watch(self, look: Callable[[], Gauges]) -> None:
        """Add what `look` returns whenever somebody asks."""
        self.registry.register(_Watch(look))

    def render(self) -> bytes:
        """Return all of it as text."""
        return generate_latest(self.registry)


class _Watch(Collector):
    def __init__(self, look: Callable[[], Gauges]) -> None:
        self._look = look

    def describe(self) -> list[Metric]:
        """Return nothing: what there is can be told only once the worker runs."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Return how it stands at this moment."""
        now = self._look()
        running = GaugeMetricFamily("offload_jobs_running", "Jobs that run here.", labels=["queue"])
        slots = GaugeMetricFamily("offload_slots", "Jobs that may run here at once.", labels=["queue"])
        for queue, count in now.slots.items():
            running.add_metric([queue], now.running.get(queue, 0))
            slots.add_metric([queue], count)
        yield running
        yield slots
        restarts = "Child processes that were started in another's stead."
        yield CounterMetricFamily("offload_child_restarts", restarts, now.child_restarts)
        yield GaugeMetricFamily("offload_draining", "1 while the worker drains.", now.draining)
        yield GaugeMetricFamily("offload_paused", "1 while the worker takes no jobs after crashes.", now.paused)


def _named(outcome: Outcome | None) -> str:
    if isinstance(outcome, Failed):
        return outcome.failure.value
    return type(outcome).__name__.lower() if outcome else "fenced"
