import asyncio
import contextlib
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest

from offload_shared.job import Cancelled, Failed, Failure, Succeeded
from offload_shared.tasks.echo import EchoResult
from offload_worker.runners import started
from offload_worker.runners.event_loop import EventLoopRunner
from offload_worker.running import Stop
from offload_worker.workspace import Workspace
from tests.unit.test_running import attempt

ended: list[str] = []
left: list[asyncio.Task[None]] = []
enough, has_started = threading.Event(), threading.Event()


class FakeWorkspace:
    def file(self, file_id: str) -> None: ...

    def artifact_of(self, job_id: str, name: str) -> None: ...

    def artifact(self, name: str, media_type: str) -> None: ...


SPACE = cast("Workspace", FakeWorkspace())


async def leaves(payload: Any, job: Any) -> EchoResult:
    sys.exit(3)


async def starts_what_leaves(payload: Any, job: Any) -> EchoResult:
    await asyncio.gather(leaves(payload, job))
    return EchoResult(text="x")


async def outstays(payload: Any, job: Any) -> EchoResult:
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(1000)
    return EchoResult(text="x")


async def returns(payload: Any, job: Any) -> EchoResult:
    return EchoResult(text="x")


async def cleans_up(payload: Any, job: Any) -> EchoResult:
    try:
        await asyncio.sleep(1000)
    finally:
        await asyncio.sleep(0.05)
        ended.append(job.id)
    return EchoResult(text="x")


async def works_on() -> None:
    try:
        await asyncio.sleep(1000)
    finally:
        await asyncio.sleep(0.01)  # cleans up


async def works_on_by_another(all_run: asyncio.Event) -> None:
    left.append(asyncio.create_task(works_on()))
    asyncio.get_running_loop().call_soon(all_run.set)  # behind that task's first step
    await asyncio.sleep(1000)


async def leaves_tasks(payload: Any, job: Any) -> EchoResult:
    all_run = asyncio.Event()
    left.extend([asyncio.create_task(works_on()), asyncio.create_task(works_on_by_another(all_run))])
    await all_run.wait()
    return EchoResult(text="x")


async def leaves_tasks_and_raises(payload: Any, job: Any) -> EchoResult:
    await leaves_tasks(payload, job)
    raise ValueError


async def leaves_tasks_and_is_stopped(payload: Any, job: Any) -> EchoResult:
    await leaves_tasks(payload, job)
    job.progress(50)
    await asyncio.sleep(1000)
    return EchoResult(text="x")


async def leaves_a_task_that_does_not_end(payload: Any, job: Any) -> EchoResult:
    left.append(asyncio.create_task(does_not_end()))
    await asyncio.sleep(0)
    return EchoResult(text="x")


async def does_not_end() -> None:
    while not enough.is_set():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0.01)


async def starts_a_task_when_it_is_over(payload: Any, job: Any) -> EchoResult:
    asyncio.get_running_loop().call_later(0.01, starts_a_task)
    return EchoResult(text="x")


def starts_a_task() -> None:
    left.append(asyncio.create_task(works_on()))
    has_started.set()


HANDLERS = [leaves, returns]


@pytest.fixture
def runner() -> Any:
    """A runner that runs the next of `handlers` each time."""
    handlers = iter([*HANDLERS])
    made = EventLoopRunner(lambda _: next(handlers))
    yield made
    made.close()


def test_a_handler_that_leaves_takes_nobody_with_it(runner: EventLoopRunner) -> None:
    first, second = runner.run(attempt(), SPACE), runner.run(attempt(), SPACE)

    assert isinstance(first.outcome, Failed)
    assert Failure.ERROR == first.outcome.failure
    assert isinstance(second.outcome, Succeeded)


def test_what_a_handler_has_started_and_that_leaves_takes_nobody_with_it() -> None:
    handlers = iter([starts_what_leaves, returns])
    runner = EventLoopRunner(lambda _: next(handlers))
    first, second = runner.run(attempt(), SPACE), runner.run(attempt(), SPACE)

    assert isinstance(first.outcome, Failed)
    assert isinstance(second.outcome, Succeeded)
    assert runner.is_alive()
    runner.close()
    assert not runner.is_alive()


def test_a_handler_that_outstays_its_time_has_not_succeeded() -> None:
    runner = EventLoopRunner(lambda _: outstays)
    late = attempt()
    late.stop(Stop.TIMEOUT)

    ended = runner.run(late, SPACE).outcome

    assert isinstance(ended, Failed)
    assert Failure.TIMEOUT == ended.failure
    runner.close()


def test_a_stopped_attempt_is_over_when_its_coroutine_is() -> None:
    runner = EventLoopRunner(lambda _: cleans_up)
    stopped = attempt()
    stopped.stop(Stop.CANCELLED)
    asyncio.run_coroutine_threadsafe(asyncio.sleep(0), runner._loop).result()

    assert Cancelled() == runner.run(stopped, SPACE).outcome
    runner.close()


@pytest.fixture
def tasks_left() -> Iterator[list[asyncio.Task[None]]]:
    """Return those that this test's handlers start beside themselves."""
    left.clear()
    enough.clear()
    has_started.clear()
    yield left
    enough.set()


@pytest.mark.parametrize("handler", [leaves_tasks, leaves_tasks_and_raises, leaves_tasks_and_is_stopped])
def test_what_a_handler_has_started_ends_with_it_however_it_ends(
    handler: Any, tasks_left: list[asyncio.Task[None]]
) -> None:
    runner = EventLoopRunner(lambda _: handler)
    one = attempt()
    one.report = lambda progress: one.stop(Stop.CANCELLED)  # type: ignore[method-assign]

    outcome = runner.run(one, SPACE).outcome

    expected = {leaves_tasks: Succeeded, leaves_tasks_and_raises: Failed, leaves_tasks_and_is_stopped: Cancelled}
    assert isinstance(outcome, expected[handler])
    assert [True] * 3 == [task.cancelled() for task in tasks_left]
    runner.close()


def test_what_a_handler_has_started_does_not_end_with_another(tasks_left: list[asyncio.Task[None]]) -> None:
    handlers = iter([leaves_tasks_and_is_stopped, returns])
    runner = EventLoopRunner(lambda _: next(handlers))
    first = attempt()
    first.report = lambda progress: has_started.set()  # type: ignore[method-assign]
    with ThreadPoolExecutor() as threads:
        running = threads.submit(runner.run, first, SPACE)
        assert has_started.wait(10)

        assert isinstance(runner.run(attempt(), SPACE).outcome, Succeeded)
        assert [False] * 3 == [task.done() for task in tasks_left]

        first.stop(Stop.CANCELLED)
        assert Cancelled() == running.result().outcome
    runner.close()


def test_a_task_that_does_not_end_does_not_keep_its_attempt_from_ending(
    tasks_left: list[asyncio.Task[None]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(started, "END_SECONDS", 0.1)
    runner = EventLoopRunner(lambda _: leaves_a_task_that_does_not_end)

    assert isinstance(runner.run(attempt(), SPACE).outcome, Succeeded)
    assert ["job 00000000000000000000000000000000: 1 tasks that it has started do not end"] == caplog.messages
    runner.close()


def test_a_task_that_is_started_after_the_end_of_its_attempt_ends_at_once(
    tasks_left: list[asyncio.Task[None]],
) -> None:
    runner = EventLoopRunner(lambda _: starts_a_task_when_it_is_over)

    runner.run(attempt(), SPACE)

    assert has_started.wait(10)
    asyncio.run_coroutine_threadsafe(asyncio.wait(tasks_left), runner._loop).result(10)
    assert tasks_left[0].cancelled()
    runner.close()
