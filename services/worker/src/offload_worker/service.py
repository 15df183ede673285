"""The worker put together: what it consists of, the order it starts in, and how it drains."""

import logging
import os
import socket
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from threading import Thread

import dramatiq
import psutil
from msgspec.structs import replace

from offload_shared import tasks
from offload_shared.artifacts import Artifacts
from offload_shared.errors import SettingsInvalid, StoreUnavailable
from offload_shared.ids import new_id
from offload_shared.settings import without_password
from offload_shared.store import leases
from offload_shared.store.database import Database
from offload_shared.store.doorbell import Doorbell, Topic
from offload_shared.store.sweeper import Sweeper
from offload_shared.store.workers import Presence
from offload_shared.tasks.task import RunsIn
from offload_worker import actors, container, handlers, lease, presence, reaper, unknown, watchdog
from offload_worker.breaker import Breaker
from offload_worker.broker import HintBroker, HintConsumer
from offload_worker.combining import Combiner
from offload_worker.consumers.parameters import broker_parameters
from offload_worker.consumers.rabbitmq import Outage, RabbitmqConsumer
from offload_worker.consumers.store import StoreConsumer
from offload_worker.executor import Executor
from offload_worker.folders import remove_folder
from offload_worker.lease import LeaseKeeper
from offload_worker.metrics import Gauges, WorkerMetrics
from offload_worker.periodic import Periodic
from offload_worker.presence import PresenceKeeper
from offload_worker.runners.event_loop import EventLoopRunner
from offload_worker.runners.guardian import Guardian
from offload_worker.runners.nursery import Nursery
from offload_worker.runners.process import ProcessRunner
from offload_worker.runners.runner import Runner
from offload_worker.runners.thread import ThreadRunner
from offload_worker.running import Running
from offload_worker.settings import WorkerSettings
from offload_worker.slots import Slots
from offload_worker.unknown import UnknownTasks

#: How long a consumer may sit idle before it looks whether the worker ends.
DRAMATIQ_TIMEOUT_MILLISECONDS = 500
#: What a handler on a thread gets, beyond the grace period, to reach its next checkpoint.
CHECKPOINT_SECONDS = 5.0
#: What is left of that once the worker is told to end a second time: enough to end the processes, and to say so.
HURRIED_SECONDS = 1.0
#: What has not turned for so long is stuck; the slowest turn waits for a broker or a store that does not answer.
STUCK_SECONDS = 90.0

_log = logging.getLogger(__name__)


class WorkerService:
    """One worker process: Dramatiq's threads, our consumers and runners, and the threads that watch over them."""

    def __init__(self, settings: WorkerSettings, database: Database, artifacts: Artifacts) -> None:
        mark = new_id()
        self.name = f"{socket.gethostname()}-{os.getpid()}-{mark[-6:]}"
        self._settings = settings
        self._database = database
        self.slots = {queue: Slots(count) for queue, count in settings.slots_of_queues().items()}
        self._slot_counts = {queue: slots.free() for queue, slots in self.slots.items()}
        self._slot_count = sum(self._slot_counts.values())
        self._known = _known_tasks(set(self.slots))
        versions = {(name, each + 1) for name in self._known for each in range(tasks.registry()[name].version)}
        self._versions = frozenset(versions)
        self._unknown = UnknownTasks(database, list(self.slots), self._versions)
        self._folder = _make_folder(mark)
        self._guardian = Guardian(mark, self._folder)
        self._loop = EventLoopRunner(handlers.load)
        self._runners = self._make_runners(mark)
        self.breaker = Breaker(self.slots.values(), pause_seconds=settings.pause_seconds)
        self.running = Running()
        self.metrics = WorkerMetrics()
        self.metrics.watch(self._gauges)
        self.draining = False
        self._doorbell = Doorbell(database, Topic.ENDED)
        keeper = LeaseKeeper(database, self.running, worker=self.name, lease_seconds=settings.lease_seconds)
        sweeper = Sweeper(database, lease_seconds=settings.lease_seconds)
        self._presence = PresenceKeeper(database, self._present, lease_seconds=settings.lease_seconds)
        self._described = Presence(
            name=self.name,
            host=socket.gethostname(),
            pid=os.getpid(),
            version=version("offload-worker"),
            slots=self._slot_counts,
        )
        self._watchers = [
            Periodic("lease keeper", lease.TICK_SECONDS, keeper.step),
            Periodic(
                "watchdog",
                watchdog.TICK_SECONDS,
                partial(watchdog.watch, self.running, settings.memory_mb or container.memory_mb()),
            ),
            Periodic("sweeper", settings.sweep_seconds, sweeper.sweep),
            Periodic("presence", presence.TICK_SECONDS, self._presence.step),
            Periodic("look at what is unknown", unknown.TICK_SECONDS, self._unknown.step),
        ]
        if os.getpid() == 1:
            self._watchers.append(Periodic("reaper", reaper.TICK_SECONDS, partial(reaper.reap, self._pids)))
        lease_seconds = settings.lease_seconds
        claim_all = partial(
            leases.claim_all, database, worker=self.name, lease_seconds=lease_seconds, tasks=self._versions
        )
        self._executor = Executor(
            claim=Combiner(claim_all).submit,
            finish=Combiner(partial(leases.finish_all, database)).submit,
            database=database,
            artifacts=artifacts,
            runners=self._runners,
            running=self.running,
            breaker=self.breaker,
            metrics=self.metrics,
            folder=self._folder,
            lease_seconds=lease_seconds,
            job_ended=self._doorbell.ring,
        )
        self._outage = Outage(without_password(settings.broker_url))
        self.consumers: dict[str, HintConsumer] = {}
        broker = HintBroker({queue: partial(self._consumer, queue) for queue in self.slots})
        actors.declare(broker, self._executor, list(self.slots))
        self._worker = dramatiq.Worker(
            broker, worker_timeout=DRAMATIQ_TIMEOUT_MILLISECONDS, worker_threads=self._slot_count
        )

    def _make_runners(self, mark: str) -> dict[RunsIn, Runner]:
        known = [tasks.registry()[name] for name in self._known]
        for task in known:
            if task.runs_in is not RunsIn.PROCESS:
                handlers.check(task)
        processes = {task.name for task in known if task.runs_in is RunsIn.PROCESS}
        self._nursery = Nursery(
            handlers.modules(processes),
            threads=self._settings.child_threads,
            nice=self._settings.child_nice,
            most_jobs=self._settings.child_jobs,
            most_growth_mb=self._settings.child_growth_mb,
            mark=mark,
            folder=self._folder,
        )
        queues = {tasks.registry()[name].queue for name in processes}
        self._nursery.warm(sum(self.slots[queue].free() for queue in queues))
        return {
            RunsIn.PROCESS: ProcessRunner(self._nursery),
            RunsIn.THREAD: ThreadRunner(handlers.load),
            RunsIn.EVENT_LOOP: self._loop,
        }

    def _pids(self) -> set[int]:
        return self._nursery.pids | {self._guardian.pid}

    def _present(self) -> Presence:
        return replace(self._described, draining=self.draining, paused=self.breaker.reason, unknown=self._unknown.found)

    def _gauges(self) -> Gauges:
        return Gauges(
            running=Counter(attempt.task.queue for attempt in self.running.all()),
            slots=self._slot_counts,
            child_restarts=self._nursery.restarts,
            draining=self.draining,
            paused=self.breaker.reason is not None,
        )

    def _consumer(self, queue: str) -> HintConsumer:
        slots = self.slots[queue]
        if self._settings.broker_url:
            parameters = broker_parameters(self._settings.broker_url)
            quorum = self._settings.broker_quorum
            self.consumers[queue] = RabbitmqConsumer(parameters, queue, slots, self._outage, quorum=quorum)
        else:
            self.consumers[queue] = StoreConsumer(self._database, queue, slots, self._versions)
        return self.consumers[queue]

    def start(self) -> None:
        """Start every thread, those that watch before those that work."""
        for watcher in self._watchers:
            watcher.start()
        self._worker.start()
        queues = ", ".join(f"{queue} ({slots.free()} slots)" for queue, slots in self.slots.items())
        source = "the broker" if self._settings.broker_url else "the store"
        _log.info("worker %s takes jobs from %s, queues: %s", self.name, source, queues)

    def drain(self, hurry: Callable[[], bool]) -> None:
        """End: take no more work, let jobs finish within the grace period, give back the rest.

        `hurry` tells whether to stop waiting for them at once.
        """
        self.draining = True
        for slots in self.slots.values():
            slots.close()
        grace_ends = time.monotonic() + self._settings.grace_seconds
        while not self.running.wait_until_idle(0.1) and time.monotonic() < grace_ends and not hurry():
            pass
        self._executor.drain()
        if self._come_to_an_end(hurry):
            self._worker.stop(timeout=5000)
        else:
            self._abandon()
        for watcher in reversed(self._watchers):
            watcher.end()
        self._presence.leave()
        self._doorbell.close()
        for runner in self._runners.values():
            runner.close()
        self._guardian.close()
        remove_folder(self._folder)  # should the guardian have been killed
        self._database.dispose()

    def _come_to_an_end(self, hurry: Callable[[], bool]) -> bool:
        told = time.monotonic()
        while not (idle := self.running.wait_until_idle(0.1)):
            if time.monotonic() > told + (HURRIED_SECONDS if hurry() else CHECKPOINT_SECONDS):
                break
        return idle

    def _abandon(self) -> None:
        _log.warning("giving back %d jobs whose handlers do not end", len(self.running.all()))
        try:
            self._executor.abandon()
        except StoreUnavailable as error:
            _log.warning("they are given back when their leases run out: %s", error)

    def reaches_store(self) -> bool:
        """Whether the store answers."""
        try:
            self._database.ping()
        except StoreUnavailable:
            return False
        return True

    def usage(self) -> dict[str, float]:
        """Return what the worker itself uses: megabytes, descriptors, connections, threads; and how many processes."""
        process = psutil.Process()
        return {
            "memory_mb": round(container.own_memory_mb(), 1),
            "descriptors": process.num_fds(),
            "store_connections": self._database.connections,
            "threads": process.num_threads(),
            "processes": len(process.children(recursive=True)),
        }

    def faults(self) -> list[str]:
        """Return what is dead or stuck that should be alive: the worker does its work only when there is nothing."""
        threads: dict[str, Periodic | Thread | EventLoopRunner | Guardian] = {
            **{watcher.name: watcher for watcher in self._watchers},
            **{f"worker thread {n}": thread for n, thread in enumerate(self._worker.workers)},
            **{f"consumer of {queue}": thread for queue, thread in self._worker.consumers.items()},
            "event loop": self._loop,
            "guardian": self._guardian,
        }
        turning: dict[str, Periodic | HintConsumer | EventLoopRunner | Nursery] = {
            **{watcher.name: watcher for watcher in self._watchers},
            **{f"consumer of {queue}": consumer for queue, consumer in self.consumers.items()},
            "event loop": self._loop,
            "launcher of processes": self._nursery,
        }
        dead = [f"the {name} is dead" for name, thread in threads.items() if not thread.is_alive()]
        stuck = [f"the {name} is stuck" for name, each in turning.items() if each.silent_seconds() > STUCK_SECONDS]
        stuck += [f"the thread of job {each.job.id} is stuck" for each in self.running.all() if each.given_up]
        missing = self._slot_count - len(self._worker.workers)
        return dead + stuck + ([f"{missing} worker threads are missing"] if missing else [])


def _make_folder(mark: str) -> Path:
    folder = Path(tempfile.gettempdir()) / f"offload-{mark}"
    try:
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise SettingsInvalid(f"TMPDIR: no folder can be made in {str(folder.parent)!r}: {error.strerror}") from None
    return folder


def _known_tasks(queues: set[str]) -> set[str]:
    wanted = {name for name, task in tasks.registry().items() if task.queue in queues}
    for name in sorted(wanted - handlers.registry().keys()):
        _log.warning("task %s has no handler here; its jobs stay queued for another worker", name)
    return wanted & handlers.registry().keys()
