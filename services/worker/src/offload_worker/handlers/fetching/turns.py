"""Whose turn it is: so many requests at once in all and to each host, and a pause between two to the same."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class _Host:
    def __init__(self, most: int) -> None:
        self.places = asyncio.Semaphore(most)
        self.next_at = 0.0


class Turns:
    """Gives each request its turn. `delay_seconds` is between the beginnings of two requests to one host."""

    def __init__(self, *, most: int, most_per_host: int, delay_seconds: float) -> None:
        self._places = asyncio.Semaphore(most)
        self._most_per_host = most_per_host
        self._delay_seconds = delay_seconds
        self._hosts: dict[str, _Host] = {}

    @asynccontextmanager
    async def turn(self, host: str, delay_seconds: float = 0.0) -> AsyncIterator[None]:
        """Wait for a turn with a host, which may ask for a longer delay; it ends with the block."""
        known = self._hosts.setdefault(host, _Host(self._most_per_host))
        # The host's own place first: those who wait for a slow host take none from the others.
        async with known.places:
            await self._pause(known, max(delay_seconds, self._delay_seconds))
            async with self._places:
                yield

    @staticmethod
    async def _pause(host: _Host, delay_seconds: float) -> None:
        now = asyncio.get_running_loop().time()
        begins = max(now, host.next_at)
        host.next_at = begins + delay_seconds
        if begins > now:
            await asyncio.sleep(begins - now)
