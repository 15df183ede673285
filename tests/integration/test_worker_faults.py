"""Claims about a worker's liveness: whatever in it is dead or stuck, it says so."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from offload_shared import failpoints
from offload_shared.artifacts import Artifacts
from offload_shared.failpoints import Action, Point
from offload_shared.store import cancelling
from offload_shared.store.database import Database
from offload_shared.store.migrate import migrate
from offload_worker import health, service, watchdog
from offload_worker.runners import event_loop, nursery
from offload_worker.service import WorkerService
from offload_worker.settings import WorkerSettings
from tests.acceptance.stack import until
from tests.jobs import added, read

SHORT_SECONDS = 1.0


@contextmanager
def started(folder: Path, monkeypatch: pytest.MonkeyPatch, queue: str) -> Iterator[WorkerService]:
    """Start a worker of a queue on embedded parts."""
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    settings = WorkerSettings(
        data_dir=folder, queues=queue, slots=2, sweep_seconds=0.1, grace_seconds=0.1, lease_seconds=3
    )
    database = Database(settings.store, connections=4)
    migrate(database)
    made = WorkerService(settings, database, Artifacts(settings.artifacts))
    made.start()
    yield made
    made.drain(hurry=lambda: True)
    monkeypatch.setattr("tempfile.tempdir", None)


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkerService]:
    """A worker without processes that soon calls stuck what does not turn."""
    monkeypatch.setattr(service, "STUCK_SECONDS", SHORT_SECONDS)
    monkeypatch.setattr(event_loop, "TURN_SECONDS", 0.1)
    with started(tmp_path, monkeypatch, "io") as made:
        yield made


class Hang:
    """A point at which a thread of this process hangs until it is let go."""

    def __init__(self, folder: Path, point: Point) -> None:
        (folder / point.value).write_text(Action.HANG.value)
        self._fired = folder / f"{point.value}.fired"

    @property
    def reached(self) -> bool:
        return self._fired.exists()

    def let_go(self) -> None:
        self._fired.unlink()


@pytest.fixture
def points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of the failpoints of this process; what hangs at the end of a test is let go."""
    folder = tmp_path / "failpoints"
    folder.mkdir()
    monkeypatch.setattr(failpoints, "_folder", folder)
    yield folder
    for fired in folder.iterdir():
        fired.unlink()


@pytest.fixture
def worker_of_processes(tmp_path: Path, points: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkerService]:
    with started(tmp_path, monkeypatch, "probe") as made:
        yield made
        for fired in points.iterdir():
            fired.unlink()


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


def true_before_long(condition: Callable[[], object]) -> bool:
    ends = time.monotonic() + 60
    while not (answer := condition()) and time.monotonic() < ends:
        time.sleep(0.02)
    return bool(answer)


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

    consumer = until(lambda: worker.consumers.get("io"), "the consumer, which a thread of Dramatiq's makes")
    consumer.look = hang

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


class TestThreadThatHangs:
    """Around the work of a child a worker's thread hangs, while the heart beats: its job comes to an end all the same.

    A test sets a limit only once the thread hangs, so that nothing which is merely slow is taken for stuck.
    """

    def submitted(self, worker: WorkerService, **options: Any) -> str:
        return added(worker._database, queue="probe", **options)

    def ended(self, worker: WorkerService, job_id: str) -> tuple[str, list[str]]:
        assert true_before_long(lambda: read(worker._database, job_id).state.final)
        job = read(worker._database, job_id)
        return job.state, [each.failure or each.outcome for each in job.attempts]

    def told_and_forgotten(self, worker: WorkerService, hang: Hang, job_id: str) -> bool:
        """Whether the worker's health tells of the thread while it hangs, and no more once it is let go."""
        told = seen(worker, f"the thread of job {job_id} is stuck")
        hang.let_go()
        return told and true_before_long(lambda: not faults(worker))

    @pytest.mark.parametrize("point", [Point.STARTED, Point.RETURNED])
    def test_after_its_time_a_job_whose_worker_thread_hangs_runs_again(
        self, worker_of_processes: WorkerService, points: Path, monkeypatch: pytest.MonkeyPatch, point: Point
    ) -> None:
        hang = Hang(points, point)
        job_id = self.submitted(worker_of_processes, timeout_seconds=5)
        assert true_before_long(lambda: hang.reached)
        monkeypatch.setattr(watchdog, "END_SECONDS", SHORT_SECONDS)

        assert ("succeeded", ["lost", "succeeded"]) == self.ended(worker_of_processes, job_id)

        assert self.told_and_forgotten(worker_of_processes, hang, job_id)
        assert ["lost", "succeeded"] == self.ended(worker_of_processes, job_id)[1]

    @pytest.mark.parametrize("point", [Point.STARTING, Point.STARTED])
    def test_a_cancel_ends_a_job_whose_worker_thread_hangs(
        self, worker_of_processes: WorkerService, points: Path, monkeypatch: pytest.MonkeyPatch, point: Point
    ) -> None:
        hang = Hang(points, point)
        job_id = self.submitted(worker_of_processes)
        assert true_before_long(lambda: hang.reached)
        monkeypatch.setattr(watchdog, "END_SECONDS", SHORT_SECONDS)

        cancelling.cancel(worker_of_processes._database, job_id)

        assert ("cancelled", ["lost"]) == self.ended(worker_of_processes, job_id)
        assert self.told_and_forgotten(worker_of_processes, hang, job_id)
        assert ["lost"] == self.ended(worker_of_processes, job_id)[1]

    def test_a_job_that_its_worker_thread_never_begins_runs_again(
        self, worker_of_processes: WorkerService, points: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hang = Hang(points, Point.STARTING)
        job_id = self.submitted(worker_of_processes)
        assert true_before_long(lambda: hang.reached)

        with monkeypatch.context() as patched:
            patched.setattr(watchdog, "BEGIN_SECONDS", 0.0)
            assert seen(worker_of_processes, f"the thread of job {job_id} is stuck")

        assert ("succeeded", ["lost", "succeeded"]) == self.ended(worker_of_processes, job_id)
        assert self.told_and_forgotten(worker_of_processes, hang, job_id)
        assert ["lost", "succeeded"] == self.ended(worker_of_processes, job_id)[1]
