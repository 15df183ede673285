"""Runs blocking handlers on the calling worker thread; they end early only at their own checkpoints."""

import time
from collections.abc import Callable
from typing import Any

from offload_shared.job import Outcome, Usage
from offload_worker.output import captured_by
from offload_worker.runners import call
from offload_worker.runners.runner import Ended, WorkspaceHandle, outcome_of, returned
from offload_worker.running import RunningAttempt
from offload_worker.workspace import Workspace


class ThreadRunner:
    """Runs each attempt on the thread that asks for it."""

    def __init__(self, load: Callable[[str], Callable[..., Any]]) -> None:
        self._load = load

    def run(self, attempt: RunningAttempt, workspace: Workspace) -> Ended:
        """Run an attempt here and now."""
        attempt.begin()
        before = time.thread_time()
        outcome = self._outcome(attempt, workspace)
        return Ended(outcome, Usage(attempt.wall_seconds(), cpu_seconds=time.thread_time() - before))

    def _outcome(self, attempt: RunningAttempt, workspace: Workspace) -> Outcome | None:
        try:
            payload = call.read_payload(attempt.task, attempt.job.payload)
            with captured_by(attempt.output):
                result = self._load(attempt.task.name)(payload, WorkspaceHandle(attempt, workspace))
        except BaseException as error:  # noqa: BLE001 - whatever a handler raises is this job's failure alone
            return outcome_of(error, attempt)
        return returned(attempt, result)

    def close(self) -> None:
        """Nothing is held."""
