"""Runs async handlers, hundreds at once, on one event loop in a thread of its own."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any

from offload_shared.job import Outcome, Usage
from offload_worker.runners import call
from offload_worker.runners.runner import Ended, WorkspaceHandle
from offload_worker.running import RunningAttempt
from offload_worker.workspace import Workspace


class EventLoopRunner:
    """Runs each attempt as a task of the loop; a stop cancels it where it awaits."""

    def __init__(self, load: Callable[[str], Callable[..., Any]]) -> None:
        self._load = load
        self._loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._loop.run_forever, name="event-loop", daemon=True)
        self.thread.start()

    def run(self, attempt: RunningAttempt, workspace: Workspace) -> Ended:
        """Run an attempt on the loop, and wait for it here."""
        return Ended(self._outcome(attempt, workspace), Usage(attempt.wall_seconds()))

    def _outcome(self, attempt: RunningAttempt, workspace: Workspace) -> Outcome | None:
        try:
            payload = call.read_payload(attempt.task, attempt.job.payload)
            handler = self._load(attempt.task.name)
            future = asyncio.run_coroutine_threadsafe(handler(payload, WorkspaceHandle(attempt, workspace)), self._loop)
            attempt.on_stop(future.cancel)
            result = future.result()
        except (Exception, CancelledError) as error:  # noqa: BLE001 - a handler's failure is this job's alone
            return attempt.outcome_of_stop() if attempt.stopped else call.failed(error)
        return call.succeeded(attempt.task, result)

    def close(self) -> None:
        """End the loop."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self.thread.join()
        self._loop.close()
