"""Lets jobs of a flow run once those they follow have ended."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

from offload_api.store import Store
from offload_shared.job import Hint
from offload_shared.store import releases

#: Between two looks while nobody tells of an end; the sweeper's and a client's own ends nobody tells of.
INTERVAL_SECONDS = 1.0


class Releaser:
    """Takes its turn when a job has ended; any number of API processes do so side by side. `hint` tells workers."""

    def __init__(self, store: Store, hint: Callable[[Sequence[Hint]], None]) -> None:
        self._store = store
        self._hint = hint
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Look at once: some jobs have ended."""
        self._rung.set()

    async def step(self) -> None:
        """Wait for an end, and tell those that follow; raises `StoreUnavailable`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(INTERVAL_SECONDS):
                await self._rung.wait()
        self._rung.clear()
        await self.release()

    async def release(self) -> None:
        """Tell those that follow what has ended; raises `StoreUnavailable`."""
        while (released := await self._store.run(releases.release)).ends:
            self._hint(released.due)
