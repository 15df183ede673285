"""What the worker makes of what a child tells it, and of its end: a child may have run anything."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from offload_shared.job import Failed, Failure, Outcome, Succeeded
from offload_worker import container, watchdog
from offload_worker.runners import children, family, frames
from offload_worker.runners.call import LONGEST_TRACE
from offload_worker.runners.children import Child, ChildGone
from offload_worker.runners.nursery import Nursery
from offload_worker.runners.process import ProcessRunner
from offload_worker.running import RunningAttempt
from offload_worker.workspace import Workspace
from tests.unit.test_running import attempt


def nothing() -> None: ...


class FakeChild:
    """Answers every attempt with one frame, or ends; `imports` is called while its imports are done."""

    ready = True
    pid = 0  # which no process has

    def __init__(self, end: frames.FromChild | ChildGone, imports: Callable[[], None] = nothing) -> None:
        self._end = end
        self.await_ready = imports

    def begin(self, *_: Any) -> None: ...

    def receive(self) -> frames.FromChild:
        if isinstance(self._end, ChildGone):
            raise self._end
        return self._end

    def broken(self, how: str) -> ChildGone:
        return ChildGone(f"its process broke the protocol: {how}")

    def drain_output(self) -> None: ...

    def stop(self) -> None: ...

    def use(self, _: Any) -> None: ...


class FakeNursery:
    """Has one child."""

    def __init__(self, child: FakeChild) -> None:
        self.take = lambda: child

    def give_back(self, _: FakeChild) -> None: ...

    def replace(self, _: FakeChild) -> None: ...


def run(one: RunningAttempt, child: FakeChild) -> Outcome | None:
    runner = ProcessRunner(cast("Nursery", FakeNursery(child)))
    return runner.run(one, cast("Workspace", SimpleNamespace(folder=Path()))).outcome


def returned(one: RunningAttempt, result: bytes) -> frames.Returned:
    return frames.Returned(*one.lease, cast("Any", result), cpu_seconds=0.0, fit=True)


def failed(one: RunningAttempt, child: FakeChild) -> Failed:
    outcome = run(one, child)
    assert isinstance(outcome, Failed)
    return outcome


def test_a_trace_that_a_child_made_endless_is_cut_before_it_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    one = attempt()
    trace = "x" * frames.LARGEST_RESULT_BYTES + "the end"

    failed(one, FakeChild(frames.Raised(*one.lease, Failure.ERROR, "", trace, cpu_seconds=0.0, fit=True)))

    assert caplog.messages[0].endswith("the end")
    assert len(caplog.messages[0]) < LONGEST_TRACE + 100


def test_a_result_that_is_not_what_the_task_says_is_no_success() -> None:
    one = attempt()
    assert Succeeded(b'{"text":"x"}') == run(one, FakeChild(returned(one, b'{"text":"x"}')))

    wrong = failed(one, FakeChild(returned(one, b'{"text":1}')))

    assert Failure.ERROR == wrong.failure
    assert "`$.text`" in wrong.detail


@pytest.mark.parametrize("claimed", [Failure.TIMEOUT, Failure.LOST, Failure.EXPIRED, Failure.CRASHED])
def test_a_child_cannot_claim_a_failure_that_only_others_can_see(claimed: Failure) -> None:
    one = attempt()
    end = frames.Raised(*one.lease, claimed, "", "", cpu_seconds=0.0, fit=True)

    outcome = failed(one, FakeChild(end))

    assert Failure.CRASHED == outcome.failure
    assert f"it claims to have ended as {claimed.value}" in outcome.detail


def test_a_jobs_time_runs_only_once_its_child_is_ready() -> None:
    one = attempt(timeout_seconds=0)

    def imports() -> None:
        watchdog.check(one, family.Snapshot([]))
        assert not one.stopped

    run(one, FakeChild(returned(one, b'{"text":"x"}'), imports))

    watchdog.check(one, family.Snapshot([]))
    assert one.stopped


KILLED = ChildGone("its process ended with signal SIGKILL", -signal.SIGKILL)


@pytest.mark.parametrize(
    ("gone", "kills", "failure"),
    [
        (KILLED, [3, 4], Failure.OUT_OF_MEMORY),
        (KILLED, [3, 3], Failure.CRASHED),
        (ChildGone("its process ended with exit code 1", 1), [3, 4], Failure.CRASHED),
    ],
)
def test_what_the_kernel_killed_for_memory_is_told_as_that(
    gone: ChildGone, kills: list[int], failure: Failure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(container, "memory_kills", iter(kills).__next__)

    assert failure == failed(attempt(), FakeChild(gone)).failure


@pytest.fixture
def endless_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Child]:
    """A child whose imports never end."""
    (tmp_path / "endless.py").write_text("import time\ntime.sleep(100_000)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(children, "STARTUP_SECONDS", 0.5)
    child = Child(["endless"], threads=1, nice=0, mark=f"test-{os.getpid()}-{time.monotonic_ns()}", folder=tmp_path)
    yield child
    child.close()


def test_a_child_that_never_becomes_ready_is_given_up(endless_import: Child) -> None:
    with pytest.raises(ChildGone, match="not ready for work in time"):
        endless_import.await_ready()

    assert family.process(endless_import.pid) is None


@pytest.fixture
def nice_child(tmp_path: Path) -> Iterator[Child]:
    """A child that is to yield the processor to others."""
    child = Child([], threads=1, nice=7, mark=f"test-{os.getpid()}-{time.monotonic_ns()}", folder=tmp_path)
    yield child
    child.close()


def test_a_child_and_its_session_yield_the_processor(nice_child: Child) -> None:
    mine = os.getpriority(os.PRIO_PROCESS, 0)
    group = Path(f"/proc/{nice_child.pid}/autogroup")

    assert min(19, mine + 7) == os.getpriority(os.PRIO_PROCESS, nice_child.pid)
    assert not group.exists() or group.read_text().endswith(" nice 7\n")  # where there are such groups
