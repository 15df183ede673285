"""Claims about a worker's liveness: whatever in it is dead or stuck, it says so."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from offload_shared.artifacts import Artifacts
from offload_shared.store.database import Database
from offload_shared.store.migrate import migrate
from offload_worker import health, service
from offload_worker.runners import event_loop, nursery
from offload_worker.service import WorkerService
from offload_worker.settings import WorkerSettings

SHORT_SECONDS = 1.0


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkerService]:
    """A worker on embedded parts that soon calls stuck what does not turn."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr(service, "STUCK_SECONDS", SHORT_SECONDS)
    monkeypatch.setattr(event_loop, "TURN_SECONDS", 0.1)
    settings = WorkerSettings(data_dir=tmp_path, queues="io", slots=2, sweep_seconds=0.1, grace_seconds=0.1)
    database = Database(settings.store, connections=4)
    migrate(database)
    made = WorkerService(settings, database, Artifacts(settings.artifacts))
    made.start()
    yield made
    made.drain(hurry=lambda: True)
    monkeypatch.setattr("tempfile.tempdir", None)


def faults(worker: WorkerService) -> list[str]:
    status, body = health.live(worker)
    found = cast("list[str]", body["faults"])
    assert (503 if found else 200) == status
    return found


def seen(worker: WorkerService, fault: str) -> bool:
    """Whether the fault is told of before long."""
    ends = time.monotonic() + 30
    while fault not in faults(worker) and time.monotonic() < ends:
        time.sleep(0.05)
    return fault in faults(worker)


def test_a_worker_that_is_well_has_no_faults_also_when_it_has_nothing_to_do(worker: WorkerService) -> None:
    time.sleep(2 * SHORT_SECONDS)

    assert [] == faults(worker)


def test_an_event_loop_that_a_handler_blocks_is_stuck_until_it_turns_again(worker: WorkerService) -> None:
    released = threading.Event()
    worker._loop._loop.call_soon_threadsafe(released.wait)

    assert seen(worker, "the event loop is stuck")
    released.set()
    ends = time.monotonic() + 30
    while faults(worker) and time.monotonic() < ends:
        time.sleep(0.05)
    assert [] == faults(worker)


@pytest.mark.parametrize("name", ["lease keeper", "watchdog", "sweeper"])
def test_a_watcher_whose_step_hangs_is_stuck_and_one_that_ended_is_dead(worker: WorkerService, name: str) -> None:
    [watcher] = [each for each in worker._watchers if each.name == name]
    released = threading.Event()
    watcher._step = released.wait

    assert seen(worker, f"the {name} is stuck")
    released.set()
    watcher.end()
    assert seen(worker, f"the {name} is dead")


def test_a_consumer_that_hangs_is_stuck(worker: WorkerService) -> None:
    released = threading.Event()

    def hang() -> Any:
        released.wait()

    worker.consumers["io"].look = hang  # type: ignore[method-assign]

    assert seen(worker, "the consumer of io is stuck")
    released.set()


def test_a_worker_thread_that_died_is_missed(worker: WorkerService) -> None:
    worker._worker.workers[0].stop()

    assert seen(worker, "the worker thread 0 is dead")


def test_a_process_whose_start_hangs_is_told_of(worker: WorkerService, monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()

    class HangingChild:
        pid = 0

        def __init__(self, *_: Any, **__: Any) -> None:
            released.wait()

        def close(self) -> None: ...

    monkeypatch.setattr(nursery, "Child", HangingChild)
    worker._nursery.warm(1)

    assert seen(worker, "the launcher of processes is stuck")
    released.set()


@pytest.mark.parametrize(("hurried", "seconds"), [(False, 0.5), (True, 0.0)])
def test_a_handler_that_does_not_end_gets_its_time_unless_the_worker_is_told_twice(
    worker: WorkerService, monkeypatch: pytest.MonkeyPatch, *, hurried: bool, seconds: float
) -> None:
    monkeypatch.setattr(service, "CHECKPOINT_SECONDS", 0.5)
    monkeypatch.setattr(service, "HURRIED_SECONDS", 0.0)
    waits: list[float] = []

    def busy(seconds: float) -> bool:
        waits.append(seconds)
        time.sleep(seconds)
        return False

    monkeypatch.setattr(worker.running, "wait_until_idle", busy)
    began = time.monotonic()

    assert not worker._come_to_an_end(lambda: hurried)

    assert time.monotonic() - began >= seconds
    assert (1 == len(waits)) == hurried


def test_a_guardian_that_was_killed_is_missed(worker: WorkerService) -> None:
    worker._guardian._process.kill()

    assert seen(worker, "the guardian is dead")
