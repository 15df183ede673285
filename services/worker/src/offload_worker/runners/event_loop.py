"""Runs async handlers, hundreds at once, on one event loop in a thread of its own."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from offload_shared.job import Outcome, Usage
from offload_worker.runners import call
from offload_worker.runners.runner import Ended, WorkspaceHandle
from offload_worker.running import RunningAttempt
from offload_worker.workspace import Workspace

CLOSE_SECONDS = 2.0


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
        future = asyncio.run_coroutine_threadsafe(self._call(attempt, workspace), self._loop)
        return future.result()

    async def _call(self, attempt: RunningAttempt, workspace: Workspace) -> Outcome | None:
        # The attempt is over when its coroutine is, not when it was told to end: until then the slot stays taken.
        this = asyncio.current_task()
        assert this is not None  # noqa: S101 - a coroutine of the loop runs in a task
        attempt.on_stop(lambda: self._loop.call_soon_threadsafe(this.cancel))
        try:
            payload = call.read_payload(attempt.task, attempt.job.payload)
            result = await self._load(attempt.task.name)(payload, WorkspaceHandle(attempt, workspace))
        except BaseException as error:  # noqa: BLE001 - also SystemExit, which would end the loop under all others
            return attempt.outcome_of_stop() if attempt.stopped else call.failed(error)
        finally:
            attempt.detach()
        return call.succeeded(attempt.task, result)

    def close(self) -> None:
        """End the loop."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self.thread.join(CLOSE_SECONDS)  # a handler that blocks the loop ends with the process
        if not self.thread.is_alive():
            self._loop.close()
