"""Claims about an answer that is kept for a moment."""

import asyncio

import pytest

from offload_api.cached import Cached
from offload_shared.errors import StoreUnavailable


class Source:
    def __init__(self) -> None:
        self.reads = 0
        self.now = 0.0
        self.away = False

    async def read(self) -> int:
        await asyncio.sleep(0)
        if self.away:
            raise StoreUnavailable("away")
        self.reads += 1
        return self.reads

    def clock(self) -> float:
        return self.now


def test_all_who_ask_within_the_time_share_one_read() -> None:
    source = Source()

    async def ask() -> tuple[list[int], int]:
        cached = Cached(source.read, seconds=3, clock=source.clock)
        together = await asyncio.gather(*(cached.get() for _ in range(5)))
        source.now += 3
        return together, await cached.get()

    assert ([1] * 5, 2) == asyncio.run(ask())


def test_a_read_that_fails_is_told_of_and_tried_again() -> None:
    source = Source()

    async def ask() -> int:
        cached = Cached(source.read, seconds=3, clock=source.clock)
        source.away = True
        with pytest.raises(StoreUnavailable):
            await cached.get()
        source.away = False
        return await cached.get()

    assert 1 == asyncio.run(ask())
