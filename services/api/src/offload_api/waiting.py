"""Waits for jobs to change on behalf of many requests: one reader of the store, and none while nobody waits.

The store is asked, not the broker, so it works alike with any number of API instances; its doorbell says when.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

import msgspec
from litestar.types import Receive

from offload_shared import failpoints
from offload_shared.errors import StoreUnavailable
from offload_shared.failpoints import Point

#: Between two looks while no doorbell rings, which it does for the ends of jobs alone.
INTERVAL_SECONDS = 0.03
MOST_WAITERS = 2000  # further requests are answered at once: to wait is a preference, not a promise

_log = logging.getLogger(__name__)


class _Waiter(msgspec.Struct, eq=False):
    job_id: str
    version: int
    woken: asyncio.Future[bool]  # True: the job has changed


class JobWatch:
    """`versions` returns the current version of each job id it is given."""

    def __init__(
        self,
        versions: Callable[[Sequence[str]], Awaitable[dict[str, int]]],
        *,
        interval_seconds: float = INTERVAL_SECONDS,
        most_waiters: int = MOST_WAITERS,
    ) -> None:
        self._versions = versions
        self._interval_seconds = interval_seconds
        self._most_waiters = most_waiters
        self._waiters: set[_Waiter] = set()
        self._poller: asyncio.Task[None] | None = None
        self._rung = asyncio.Event()
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether the process is about to end."""
        return self._closed

    async def changed(
        self,
        job_id: str,
        version: int,
        *,
        seconds: float,
        receive: Receive,
        news: Callable[[], Coroutine[Any, Any, bool]] | None = None,
    ) -> bool:
        """Return True as soon as the job has another version; False after `seconds`, or when the client has left.

        `news`, where given, runs meanwhile: what it returns is the answer, if it comes first.
        """
        if self._closed or len(self._waiters) >= self._most_waiters:
            return False
        waiter = _Waiter(job_id, version, asyncio.get_running_loop().create_future())
        self._waiters.add(waiter)
        if self._poller is None:
            self._poller = asyncio.create_task(self._poll())
        meanwhile = [asyncio.create_task(_client_left(receive))]
        if news is not None:
            meanwhile.append(asyncio.create_task(news()))
        try:
            ends = (waiter.woken, *meanwhile)
            ended, _ = await asyncio.wait(ends, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            return any(each.result() for each in ended)
        finally:
            for task in meanwhile:
                task.cancel()
            self._waiters.discard(waiter)

    def look(self) -> None:
        """Look at once, if anybody waits: some jobs have ended."""
        self._rung.set()

    def close(self) -> None:
        """Wake everybody, so that the process can end: each is answered as if its time were over."""
        self._closed = True
        for waiter in self._waiters:
            _wake(waiter, changed=False)

    async def _poll(self) -> None:
        clock = asyncio.get_running_loop().time
        try:
            while self._waiters:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._interval_seconds):
                        await self._rung.wait()
                self._rung.clear()
                began = clock()
                await self._look()
                await asyncio.sleep(clock() - began)  # however often it rings, looking takes half of the time at most
        finally:
            self._poller = None

    async def _look(self) -> None:
        waiters = list(self._waiters)
        try:
            versions = await self._versions(list({waiter.job_id for waiter in waiters}))
        except StoreUnavailable as error:
            _log.debug("waiting goes on: %s", error)
            return
        for waiter in waiters:
            if versions.get(waiter.job_id) != waiter.version and not failpoints.reached(Point.WAKING):
                _wake(waiter, changed=True)


def _wake(waiter: _Waiter, *, changed: bool) -> None:
    if not waiter.woken.done():
        waiter.woken.set_result(changed)


async def _client_left(receive: Receive) -> bool:
    while (await receive())["type"] != "http.disconnect":
        pass
    return False
