"""The store as the event loop uses it: its verbs wait for the disk or the network, so each runs on a thread."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Concatenate, ParamSpec, TypeVar

from offload_shared.errors import CommitUnknown
from offload_shared.store.database import Database

SCANNING_THREADS = 2

P = ParamSpec("P")
T = TypeVar("T")


class Store:
    """A small pool of threads around a database.

    `answer_seconds` bounds every call: a store that accepts connections and answers nothing counts as down.
    """

    def __init__(self, database: Database, *, threads: int, answer_seconds: float) -> None:
        self.database = database
        self.calls = 0  # that somebody waits for
        self.timeouts = 0  # calls that nobody has waited for any longer
        self._answer_seconds = answer_seconds
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="store")
        self._scans = ThreadPoolExecutor(SCANNING_THREADS, thread_name_prefix="store-scan")

    async def run(self, verb: Callable[Concatenate[Database, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `verb(database, ...)` on a thread; raises what it raises, and `CommitUnknown` when it takes too long.

        A caller that is cancelled does not interrupt a verb that has begun.
        """
        return await self._run(self._pool, partial(verb, self.database, *args, **kwargs))

    async def scan(self, verb: Callable[Concatenate[Database, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a verb that may have to look at many rows, as `run` does, on threads that nothing else waits for."""
        return await self._run(self._scans, partial(verb, self.database, *args, **kwargs))

    async def _run(self, pool: ThreadPoolExecutor, call: Callable[[], T]) -> T:
        self.calls += 1
        try:
            async with asyncio.timeout(self._answer_seconds):
                return await asyncio.get_running_loop().run_in_executor(pool, call)
        except TimeoutError:
            self.timeouts += 1
            raise CommitUnknown(f"the store did not answer within {self._answer_seconds:g} s") from None
        finally:
            self.calls -= 1

    def close(self) -> None:
        """Let go of the threads and connections; calls that have begun come to their end."""
        for pool in (self._pool, self._scans):
            pool.shutdown(wait=False, cancel_futures=True)
        self.database.dispose()
