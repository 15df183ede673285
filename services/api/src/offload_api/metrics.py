"""What an API process counts, in the text format of Prometheus."""

from collections.abc import Callable, Collection, Iterator, Sequence

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

from offload_shared.store.queues import QueueStatus

#: Seconds, up to the longest that a client may ask to wait.
ANSWER_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
#: Of an attempt to deliver a webhook.
OUTCOMES = ("delivered", "retried", "failed")
#: The route of a request for which there is none: what its client has made up is in no label.
NO_ROUTE = ("other", "none")

# A further sample of each counter would be when it was made.
disable_created_metrics()  # type: ignore[no-untyped-call] # the library does not say that it returns nothing


class PublisherState(msgspec.Struct, frozen=True, kw_only=True):
    """How a publisher stands, and what it has done since the start."""

    connected: bool
    unconfirmed: int  # hints that the broker has not confirmed yet
    published: int
    confirmed: int
    returned: int  # for want of a queue
    dropped: int  # for want of room, and left to the relay
    relayed: int  # of the published, those of the relay


class ProcessState(msgspec.Struct, frozen=True, kw_only=True):
    """What is read when somebody asks."""

    store_connections: int
    store_connections_in_use: int
    store_calls: int  # that somebody waits for
    store_timeouts: int  # calls that nobody has waited for any longer
    streams: int  # of events
    publisher: PublisherState | None
    deliveries: dict[str, int] = {}  # of webhooks: attempts, by what came of them


class ApiMetrics:
    """Counts what the requests tell it, on the event loop; one for each process."""

    def __init__(self, tasks: Collection[str]) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = Counter(
            "offload_http_requests",
            "Requests that were answered.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "offload_http_request_seconds",
            "Until an answer began; with Prefer: wait, that includes the wait.",
            ["method", "route"],
            buckets=ANSWER_BUCKETS,
            registry=self.registry,
        )
        submitted = Counter("offload_jobs_submitted", "Jobs that were stored.", ["task"], registry=self.registry)
        replayed = Counter(
            "offload_jobs_replayed",
            "Submits that named a job of an earlier one, by their key.",
            ["task"],
            registry=self.registry,
        )
        # Looked up once: to find what belongs to labels takes longer than to count.
        self._submitted = {task: submitted.labels(task) for task in tasks}
        self._replayed = {task: replayed.labels(task) for task in tasks}
        self._answered: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request; the route is its template, empty where there is none."""
        known = self._answered.get((method, route, status))
        if known is None:
            labels = (method, route) if route else NO_ROUTE
            known = (self._requests.labels(*labels, status), self._seconds.labels(*labels))
            if route:
                self._answered[method, route, status] = known
        count, latency = known
        count.inc()
        latency.observe(seconds)

    def submitted(self, task: str, *, replayed: bool = False) -> None:
        """Count a job that was submitted."""
        (self._replayed if replayed else self._submitted)[task].inc()

    def watch(self, look: Callable[[], ProcessState]) -> None:
        """Add what `look` returns whenever somebody asks."""
        self.registry.register(_Families(lambda: _of_process(look())))

    def render(self, queues: Sequence[QueueStatus] | None) -> bytes:
        """Return all of it as text, with how the queues stand, None when the store does not say."""
        of_queues = CollectorRegistry()
        of_queues.register(_Families(lambda: _of_queues(queues)))
        return generate_latest(self.registry) + generate_latest(of_queues)


class _Families(Collector):
    def __init__(self, collect: Callable[[], Iterator[Metric]]) -> None:
        self._collect = collect

    def describe(self) -> list[Metric]:
        """Return nothing: what there is is told when it is collected."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Return what there is at this moment."""
        return self._collect()


def _of_process(now: ProcessState) -> Iterator[Metric]:
    yield GaugeMetricFamily("offload_store_connections", "Open connections to the store.", now.store_connections)
    in_use = "Connections to the store in use."
    yield GaugeMetricFamily("offload_store_connections_in_use", in_use, now.store_connections_in_use)
    yield GaugeMetricFamily("offload_store_calls", "Calls of the store that are waited for.", now.store_calls)
    late = "Calls of the store that were given up, as no answer came in time."
    yield CounterMetricFamily("offload_store_timeouts", late, now.store_timeouts)
    attempts = CounterMetricFamily("offload_webhook_attempts", "Attempts to deliver webhooks.", labels=["outcome"])
    for outcome in OUTCOMES:
        attempts.add_metric([outcome], now.deliveries.get(outcome, 0))
    yield attempts
    yield GaugeMetricFamily("offload_event_streams", "Open streams of events.", now.streams)
    if now.publisher is None:
        return
    connected = "1 while the broker takes hints."
    yield GaugeMetricFamily("offload_broker_connected", connected, now.publisher.connected)
    yield GaugeMetricFamily("offload_hints_unconfirmed", "Hints not confirmed yet.", now.publisher.unconfirmed)
    yield CounterMetricFamily("offload_hints_published", "Hints sent to the broker.", now.publisher.published)
    yield CounterMetricFamily("offload_hints_relayed", "Of these, by the relay.", now.publisher.relayed)
    yield CounterMetricFamily("offload_hints_confirmed", "Hints that the broker has taken.", now.publisher.confirmed)
    yield CounterMetricFamily("offload_hints_returned", "Hints without a queue there.", now.publisher.returned)
    yield CounterMetricFamily("offload_hints_dropped", "Hints left to the relay.", now.publisher.dropped)


def _of_queues(queues: Sequence[QueueStatus] | None) -> Iterator[Metric]:
    yield GaugeMetricFamily("offload_store_up", "1 when the store has told of the queues.", queues is not None)
    jobs = GaugeMetricFamily("offload_queue_jobs", "Jobs that have not ended.", labels=["queue", "state"])
    oldest = GaugeMetricFamily(
        "offload_queue_oldest_due_seconds", "For which a job has been due, at most; 0 without one.", labels=["queue"]
    )
    paused = GaugeMetricFamily("offload_queue_paused", "1 while the queue is paused.", labels=["queue"])
    for queue in queues or ():
        for state in ("queued", "scheduled", "running"):
            jobs.add_metric([queue.name, state], getattr(queue, state))
        oldest.add_metric([queue.name], queue.oldest_due_seconds or 0.0)
        paused.add_metric([queue.name], queue.paused_at is not None)
    yield from (jobs, oldest, paused)
