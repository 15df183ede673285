"""The tasks that a coroutine of an attempt starts beside itself: none of them outlives the attempt."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Coroutine, Generator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

#: For what was told to end to clean up after itself.
END_SECONDS = 2.0

#: Of the attempt whose coroutine, task or callback runs now.
_current: ContextVar["Started | None"] = ContextVar("started", default=None)

_log = logging.getLogger(__name__)


class Started:
    """What an attempt's coroutine has started, with all that this has started in turn, and runs still."""

    def __init__(self, job_id: str) -> None:
        self._job_id = job_id
        self._tasks: set[asyncio.Task[Any]] = set()
        self._over = False

    def add(self, task: asyncio.Task[Any]) -> None:
        """Note a task; one that comes too late is told to end before it begins."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self._over:
            task.cancel()

    async def end(self) -> None:
        """Cancel what runs still, and wait for it, but not for what refuses to end."""
        self._over = True
        for task in self._tasks:
            task.cancel()
        ends = time.monotonic() + END_SECONDS
        while self._tasks and (seconds := ends - time.monotonic()) > 0:
            await asyncio.wait(self._tasks, timeout=seconds)
        if self._tasks:
            _log.warning("job %s: %d tasks that it has started do not end", self._job_id, len(self._tasks))


@asynccontextmanager
async def ended_with(job_id: str) -> AsyncIterator[None]:
    """Note all tasks that are started inside, and end them after it."""
    started = Started(job_id)
    token = _current.set(started)
    try:
        yield
    finally:
        _current.reset(token)
        await started.end()


def noting(
    loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any] | Generator[Any, None, Any], **options: Any
) -> asyncio.Task[Any]:
    """Make a task, as the factory of a loop's tasks, and note it for the attempt that it is made in."""
    task = asyncio.Task(coroutine, loop=loop, **options)
    if started := _current.get():
        started.add(task)
    return task
