import asyncio
import contextlib
import sys
from typing import Any, cast

import pytest

from offload_shared.job import Cancelled, Failed, Failure, Succeeded
from offload_shared.tasks.echo import EchoResult
from offload_worker.runners.event_loop import EventLoopRunner
from offload_worker.running import Stop
from offload_worker.workspace import Workspace
from tests.unit.test_running import attempt

ended: list[str] = []


class FakeWorkspace:
    def file(self, file_id: str) -> None: ...

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
