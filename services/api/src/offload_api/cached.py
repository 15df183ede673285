"""Keeps an answer of the store for a moment, however many ask for it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Cached(Generic[Value]):
    """Reads at most once every so many seconds, and once at a time."""

    def __init__(
        self, read: Callable[[], Awaitable[Value]], *, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._read = read
        self._seconds = seconds
        self._clock = clock
        self._turn = asyncio.Lock()
        self._kept: tuple[float, Value] | None = None  # until when, and what

    async def get(self) -> Value:
        """Return what was read no longer ago than that; raises what reading raises."""
        async with self._turn:
            if self._kept is None or self._clock() >= self._kept[0]:
                value = await self._read()
                self._kept = (self._clock() + self._seconds, value)
            return self._kept[1]
