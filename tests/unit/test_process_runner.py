"""What the worker makes of what a child tells it: a child may have run anything."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from offload_shared.job import Failed, Failure
from offload_worker.runners import frames
from offload_worker.runners.call import LONGEST_TRACE
from offload_worker.runners.nursery import Nursery
from offload_worker.runners.process import ProcessRunner
from offload_worker.workspace import Workspace
from tests.unit.test_running import attempt


class FakeChild:
    """Answers every attempt with one frame."""

    def __init__(self, end: frames.FromChild) -> None:
        self._end = end

    def begin(self, *_: Any) -> None: ...

    def receive(self) -> frames.FromChild:
        return self._end

    def drain_output(self) -> None: ...

    def stop(self) -> None: ...

    def use(self, _: Any) -> None: ...


class FakeNursery:
    """Has one child."""

    def __init__(self, child: FakeChild) -> None:
        self.take = lambda: child

    def give_back(self, _: FakeChild) -> None: ...


def test_a_trace_that_a_child_made_endless_is_cut_before_it_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    one = attempt()
    trace = "x" * frames.LARGEST_RESULT_BYTES + "the end"
    end = frames.Raised(*one.lease, Failure.ERROR, "", trace, cpu_seconds=0.0, fit=True)
    runner = ProcessRunner(cast("Nursery", FakeNursery(FakeChild(end))))

    outcome = runner.run(one, cast("Workspace", SimpleNamespace(folder=Path()))).outcome

    assert isinstance(outcome, Failed)
    assert caplog.messages[0].endswith("the end")
    assert len(caplog.messages[0]) < LONGEST_TRACE + 100
