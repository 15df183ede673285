"""The worker's command: the one place that reads the environment and connects."""

import ctypes
import logging
import os
import signal
import sys
import threading
from typing import Annotated

import typer

from offload_shared import failpoints
from offload_shared.artifacts import Artifacts
from offload_shared.errors import OffloadError
from offload_shared.interpreter import keep_what_is_there, take_short_turns
from offload_shared.settings import load
from offload_shared.store.database import Database
from offload_shared.store.migrate import migrate
from offload_worker import output
from offload_worker.consumers.parameters import broker_parameters
from offload_worker.health import HealthServer
from offload_worker.service import WorkerService
from offload_worker.settings import WorkerSettings

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
DATABASE_CONNECTIONS = 16
PR_SET_DUMPABLE = 4
#: The kernel may give a signal to any thread; Python handles it on this one, which the signal alone does not wake then.
WAKE_SECONDS = 0.5

Queues = Annotated[
    list[str] | None,
    typer.Option("--queue", metavar="NAME", help="Take jobs of this queue; may be repeated. (default: every queue)"),
]
SlotCount = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=1000,
        metavar="N",
        help="Run so many jobs of each queue at once. (default: a slot a core where jobs compute, 256 where they wait)",
    ),
]


def run(queue: Queues = None, slots: SlotCount = None) -> None:
    """Take jobs from RabbitMQ, or from the store when no broker is set, and run each where it belongs.

    Settings come from OFFLOAD_... environment variables; the README lists them all. SIGTERM drains: no new work,
    running jobs get OFFLOAD_GRACE_SECONDS, the rest goes back to its queue. A second one gives all back at once.
    """
    environment = dict(os.environ)
    if queue:
        environment["OFFLOAD_QUEUES"] = ",".join(queue)
    if slots:
        environment["OFFLOAD_SLOTS"] = str(slots)
    try:
        _serve(load(WorkerSettings, environment))
    except OffloadError as error:
        sys.exit(f"offload-worker: {error}")


def _serve(settings: WorkerSettings) -> None:
    failpoints.arm(settings.failpoints)
    take_short_turns()
    logging.basicConfig(level=settings.log_level, format=LOG_FORMAT)
    output.install()
    hide_from_children()
    logging.getLogger("pika").setLevel(logging.CRITICAL)  # what it says of a lost connection, our consumer says once
    settings.slots_of_queues()
    if settings.broker_url:
        broker_parameters(settings.broker_url)
    database = Database(settings.store, connections=DATABASE_CONNECTIONS)
    migrate(database)
    artifacts = Artifacts(settings.artifacts)
    signals = _Signals()
    health = HealthServer(settings.health_host, settings.health_port) if settings.health_port else None
    service = WorkerService(settings, database, artifacts)
    keep_what_is_there()
    service.start()
    if health:
        health.serve(service)
    while not signals.first.wait(WAKE_SECONDS):
        pass
    service.drain(hurry=signals.second.is_set)
    if health:
        health.close()
    logging.shutdown()
    # Not waiting for a blocking handler that does not come back: its job's lease is given up with this process.
    os._exit(0)


def hide_from_children() -> None:
    """Let no process of this user look into this one: its environment and memory hold passwords."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0)


class _Signals:
    """Remembers the first and the second order to end."""

    def __init__(self) -> None:
        self.first = threading.Event()
        self.second = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note)

    def _note(self, *_: object) -> None:
        (self.second if self.first.is_set() else self.first).set()


def main() -> None:
    """Run the command line."""
    typer.run(run)
