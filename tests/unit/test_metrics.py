"""What both services count: named in the documents, and labelled by nothing that a client makes up."""

import asyncio
import re
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from offload_api.metering import metered
from offload_api.metrics import ApiMetrics, ProcessState, PublisherState
from offload_shared.job import Failed, Failure, Released, Succeeded
from offload_shared.store.queues import QueueStatus
from offload_worker.metrics import Gauges, WorkerMetrics

DOCS = Path(__file__).parents[2] / "docs"

PUBLISHER = PublisherState(connected=True, unconfirmed=1, published=9, confirmed=8, returned=0, dropped=2, relayed=3)
PROCESS = ProcessState(
    store_connections=3, store_connections_in_use=1, store_calls=1, store_timeouts=0, streams=4, publisher=PUBLISHER
)
GAUGES = Gauges(running={"cpu": 1}, slots={"cpu": 2, "io": 256}, child_restarts=3, draining=False, paused=True)


def samples(text: bytes) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def named(text: bytes) -> set[str]:
    return set(re.findall(r"^# TYPE (offload_\w+) ", text.decode(), re.MULTILINE))


def api_metrics() -> ApiMetrics:
    made = ApiMetrics(["echo"])
    made.watch(lambda: PROCESS)
    return made


def worker_metrics() -> WorkerMetrics:
    made = WorkerMetrics()
    made.watch(lambda: GAUGES)
    return made


def test_each_metric_of_the_api_is_in_the_reference_and_no_other() -> None:
    listed = set(re.findall(r"^\| (.*?) \|", (DOCS / "http.md").read_text(), re.MULTILINE))

    assert named(api_metrics().render([])) == {name for cell in listed for name in re.findall(r"`(offload_\w+)`", cell)}


def test_each_metric_of_a_worker_is_in_its_document_and_no_other() -> None:
    listed = set(re.findall(r"^\| (.*?) \|", (DOCS / "workers.md").read_text(), re.MULTILINE))

    assert named(worker_metrics().render()) == {
        name for cell in listed for name in re.findall(r"`(offload_\w+)`", cell)
    }


def test_the_api_tells_what_it_was_told() -> None:
    metrics = api_metrics()
    metrics.submitted("echo")
    metrics.submitted("echo", replayed=True)

    found = samples(metrics.render([QueueStatus(name="io", queued=7, oldest_due_seconds=1.5)]))

    assert (1, 1) == (found["offload_jobs_submitted_total", "echo"], found["offload_jobs_replayed_total", "echo"])
    assert (9, 3, 1) == tuple(
        found[name,]
        for name in ("offload_hints_published_total", "offload_hints_relayed_total", "offload_broker_connected")
    )
    assert (7, 0, 1.5, 0) == (
        found["offload_queue_jobs", "io", "queued"],
        found["offload_queue_jobs", "io", "running"],
        found["offload_queue_oldest_due_seconds", "io"],
        found["offload_queue_paused", "io"],
    )
    assert 1 == found["offload_store_up",]


def test_without_the_store_all_but_the_queues_is_told() -> None:
    found = samples(api_metrics().render(None))

    assert 0 == found["offload_store_up",]
    assert ("offload_queue_jobs", "io", "queued") not in found
    assert 3 == found["offload_store_connections",]


def test_a_worker_counts_attempts_by_how_they_ended() -> None:
    metrics = worker_metrics()
    for outcome in (Succeeded(b"{}"), Failed(Failure.TIMEOUT, "late"), Released()):
        metrics.ended("echo", outcome, stored=True)
    metrics.ended("echo", Succeeded(b"{}"), stored=False)
    metrics.ended("echo", None, stored=False)
    metrics.claimed(0.002, refused=False)
    metrics.claimed(0.002, refused=True)

    found = samples(metrics.render())

    ended = {labels[0]: value for (name, *labels), value in found.items() if name == "offload_attempts_ended_total"}
    assert {"succeeded": 1, "timeout": 1, "released": 1, "fenced": 2} == ended
    assert (2, 1) == (found["offload_claim_seconds_count",], found["offload_claims_refused_total",])
    assert (1, 0, 256, 3) == (
        found["offload_jobs_running", "cpu"],
        found["offload_jobs_running", "io"],
        found["offload_slots", "io"],
        found["offload_child_restarts_total",],
    )


def test_a_path_that_there_is_no_route_for_is_in_no_label() -> None:
    metrics = api_metrics()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 404})
        await send({"type": "http.response.body"})

    async def send(message: Any) -> None: ...

    for path in ("/made", "/up"):
        scope: Any = {"type": "http", "method": "GET", "path": path}
        asyncio.run(metered(app, metrics)(scope, send, send))  # type: ignore[arg-type]

    assert 2 == samples(metrics.render([]))["offload_http_requests_total", "other", "none", "404"]
