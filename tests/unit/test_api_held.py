"""Claims about large bodies, of which no more are in memory at once than there is room for."""

import asyncio
import threading

import pytest

from offload_api.held import SMALL_BYTES, HeldBodies
from offload_api.problems import Problem

ROOM_BYTES = 100


def bodies(patience_seconds: float = 60) -> HeldBodies:
    return HeldBodies(most_bytes=ROOM_BYTES, patience_seconds=patience_seconds)


class Body:
    """A body that wants its room, and leaves it when it is told to."""

    def __init__(self, held: HeldBodies, client: str, size_bytes: int) -> None:
        self.is_held = False
        self._leaves = asyncio.Event()
        self._task = asyncio.create_task(self._hold(held, client, size_bytes))

    async def _hold(self, held: HeldBodies, client: str, size_bytes: int) -> None:
        async with held.room(client, size_bytes):
            self.is_held = True
            await self._leaves.wait()
        self.is_held = False

    async def leave(self) -> None:
        self._leaves.set()
        await self._task
        await a_while()

    async def give_up(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])


async def a_while() -> None:
    """Let all come as far as they can."""
    for _ in range(20):
        await asyncio.sleep(0)


def test_no_more_is_held_than_there_is_room_for_and_who_waits_has_it_once_others_have_left() -> None:
    async def run() -> None:
        held = bodies()
        there = [Body(held, client, 30) for client in "abc"]
        late = [Body(held, client, 30) for client in "de"]
        small = Body(held, "f", 10)  # which nobody's waiting keeps out
        await a_while()
        assert [True, True, True, False, False, True] == [each.is_held for each in (*there, *late, small)]

        await there[0].leave()
        assert [True, False] == [each.is_held for each in late]
        await there[1].leave()
        assert [True, True] == [each.is_held for each in late]
        for each in (there[2], *late, small):
            await each.leave()

    asyncio.run(run())


def test_one_client_has_half_of_the_room_at_most() -> None:
    async def run() -> None:
        held = bodies()
        mine = [Body(held, "mine", 25) for _ in range(3)]
        theirs = Body(held, "theirs", 50)
        await a_while()
        assert [True, True, False, True] == [each.is_held for each in (*mine, theirs)]

        await mine[0].leave()
        assert mine[2].is_held
        for each in (*mine[1:], theirs):
            await each.leave()

    asyncio.run(run())


def test_a_body_larger_than_the_room_is_held_all_the_same_when_nothing_else_of_its_client_is() -> None:
    async def run() -> None:
        held = bodies()
        large, further = Body(held, "a", 10 * ROOM_BYTES), Body(held, "a", 1)
        await a_while()
        assert [True, False] == [large.is_held, further.is_held]
        await large.leave()
        await further.leave()

    asyncio.run(run())


def test_who_gives_up_has_taken_no_room() -> None:
    async def run() -> None:
        held = bodies()
        there, impatient = Body(held, "a", 50), Body(held, "a", 50)
        await a_while()
        await impatient.give_up()
        await there.leave()
        again = Body(held, "a", 50)
        await a_while()
        assert again.is_held
        await again.leave()

    asyncio.run(run())


def test_who_finds_no_room_in_time_is_told_to_come_again() -> None:
    async def run() -> Problem:
        held = bodies(patience_seconds=0.01)
        async with held.room("a", 50):
            with pytest.raises(Problem) as refused:
                async with held.room("a", 1):
                    pass
        async with held.room("a", 50):
            return refused.value

    refused = asyncio.run(run())

    assert (503, "/problems/unavailable") == (refused.details.status, refused.details.type)
    assert int(refused.headers["Retry-After"]) > 0


def test_large_bodies_are_looked_into_one_at_a_time_and_hold_up_no_small_one() -> None:
    under_way = [threading.Event() for _ in range(2)]
    go_on = threading.Event()

    def look(body: bytes, number: int) -> int:
        under_way[number].set()
        assert go_on.wait(60)
        return number

    async def run() -> list[int]:
        held, large = bodies(), b" " * (SMALL_BYTES + 1)
        looks = [asyncio.create_task(held.look_into(large, look, number)) for number in range(2)]
        await asyncio.to_thread(under_way[0].wait, 60)
        assert len(b"small") == await held.look_into(b"small", len)
        assert not under_way[1].is_set()
        go_on.set()
        return await asyncio.gather(*looks)

    assert [0, 1] == asyncio.run(run())
