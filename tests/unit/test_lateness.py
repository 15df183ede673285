"""How an attempt ends whose handler returns although it was told to end, wherever it shares the worker's process."""

from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from offload_shared.job import Failed, Failure, Outcome, Succeeded
from offload_shared.tasks.echo import EchoResult
from offload_worker.runners.event_loop import EventLoopRunner
from offload_worker.runners.thread import ThreadRunner
from offload_worker.running import RunningAttempt, Stop
from offload_worker.workspace import Workspace
from tests.unit.test_event_loop import FakeWorkspace
from tests.unit.test_running import attempt

SPACE = cast("Workspace", FakeWorkspace())

End = Callable[[Stop], Outcome | None]


@pytest.fixture(params=["thread", "event loop"])
def end(request: pytest.FixtureRequest) -> Iterator[End]:
    """Run a handler that is told to end once it has no checkpoint before it any more; return how that ends."""
    reasons: dict[RunningAttempt, Stop] = {}

    def blocking(_: Any, job: Any) -> EchoResult:
        for each, reason in reasons.items():
            each.stop(reason)
        return EchoResult(text="x")

    async def waiting(payload: Any, job: Any) -> EchoResult:
        return blocking(payload, job)

    runner: Any = ThreadRunner(lambda _: blocking) if request.param == "thread" else EventLoopRunner(lambda _: waiting)

    def run(reason: Stop) -> Outcome | None:
        late = attempt()
        reasons[late] = reason
        return cast("Outcome | None", runner.run(late, SPACE).outcome)

    yield run
    runner.close()


def test_a_result_that_comes_after_the_timeout_is_no_success(end: End) -> None:
    outcome = end(Stop.TIMEOUT)

    assert isinstance(outcome, Failed)
    assert Failure.TIMEOUT == outcome.failure


@pytest.mark.parametrize("reason", [Stop.CANCELLED, Stop.RELEASED])
def test_a_result_that_comes_despite_a_cancel_or_a_release_stands(end: End, reason: Stop) -> None:
    assert isinstance(end(reason), Succeeded)
