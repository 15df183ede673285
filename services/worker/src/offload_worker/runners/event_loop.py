"""Runs async handlers, hundreds at once, on one event loop in a thread of its own."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from offload_shared.job import Outcome, Usage
from offload_worker.output import captured_by
from offload_worker.runners import call, started
from offload_worker.runners.metering import Metered
from offload_worker.runners.runner import Ended, WorkspaceHandle, outcome_of, returned
from offload_worker.running import RunningAttempt
from offload_worker.workspace import Workspace

CLOSE_SECONDS = 2.0
TURN_SECONDS = 1.0

_log = logging.getLogger(__name__)


class EventLoopRunner:
    """Runs each attempt as a task of the loop; a stop cancels it where it awaits."""

    def __init__(self, load: Callable[[str], Callable[..., Any]]) -> None:
        self._load = load
        self._loop = asyncio.new_event_loop()
        self._loop.set_task_factory(started.noting)
        self._turned = time.monotonic()
        self._loop.call_soon(self._turn)
        self._closing = False
        self.thread = threading.Thread(target=self._run, name="event-loop", daemon=True)
        self.thread.start()

    def run(self, attempt: RunningAttempt, workspace: Workspace) -> Ended:
        """Run an attempt on the loop, and wait for it here."""
        attempt.begin()
        metered = Metered(self._call(attempt, workspace))
        outcome = asyncio.run_coroutine_threadsafe(_awaited(metered), self._loop).result()
        return Ended(outcome, Usage(attempt.wall_seconds(), cpu_seconds=metered.cpu_seconds))

    async def _call(self, attempt: RunningAttempt, workspace: Workspace) -> Outcome | None:
        # The attempt is over when its coroutine is, not when it was told to end: until then the slot stays taken.
        this = asyncio.current_task()
        assert this is not None  # noqa: S101 - a coroutine of the loop runs in a task
        attempt.on_stop(lambda: self._loop.call_soon_threadsafe(this.cancel))
        try:
            payload = call.read_payload(attempt.task, attempt.job.payload)
            with captured_by(attempt.output):
                async with started.ended_with(attempt.job.id):
                    result = await self._load(attempt.task.name)(payload, WorkspaceHandle(attempt, workspace))
        except BaseException as error:  # noqa: BLE001 - also SystemExit, which would end the loop under all others
            return outcome_of(error, attempt)
        finally:
            attempt.detach()
        return returned(attempt, result)

    def _run(self) -> None:
        while not self._closing:
            try:
                self._loop.run_forever()
            except BaseException:  # noqa: BLE001 - a task that a handler started may raise SystemExit, to leave the loop
                _log.exception("a task on the event loop wanted to end the worker")

    def _turn(self) -> None:
        self._turned = time.monotonic()
        self._loop.call_later(TURN_SECONDS, self._turn)

    def is_alive(self) -> bool:
        """Whether the loop's thread lives."""
        return self.thread.is_alive()

    def silent_seconds(self) -> float:
        """Return for how long some handler has kept the loop from turning, a second more or less."""
        return time.monotonic() - self._turned

    def close(self) -> None:
        """End the loop."""
        self._closing = True
        self._loop.call_soon_threadsafe(self._loop.stop)
        self.thread.join(CLOSE_SECONDS)  # a handler that blocks the loop ends with the process
        if not self.thread.is_alive():
            self._loop.close()


async def _awaited(metered: Metered[Outcome | None]) -> Outcome | None:
    return await metered
