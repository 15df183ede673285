"""Concurrent requests share calls, and nobody suffers for a neighbour."""

import asyncio
from collections.abc import Sequence

import pytest

from offload_api.coalescing import LARGEST_CALL, Coalescer
from offload_shared.errors import CommitUnknown, StoreUnavailable


class Calls:
    """A slow call that notes what it was given, and refuses what is poisoned."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.batches: list[list[str]] = []
        self.gate = asyncio.Event()
        self.failure = failure

    async def __call__(self, items: Sequence[str]) -> list[str]:
        self.batches.append(list(items))
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        if "poison" in items:
            raise ValueError("poison")
        return [item.upper() for item in items]


async def in_flight(calls: Calls, count: int) -> None:
    while len(calls.batches) < count:  # noqa: ASYNC110 - a turn of the event loop, no time
        await asyncio.sleep(0)


def test_a_lone_item_waits_for_nobody() -> None:
    async def scenario() -> None:
        calls = Calls()
        calls.gate.set()

        assert "A" == await Coalescer(calls).submit("a")
        assert [["a"]] == calls.batches

    asyncio.run(scenario())


def test_what_comes_during_a_call_goes_together_with_the_next() -> None:
    async def scenario() -> None:
        calls = Calls()
        coalescer = Coalescer(calls)
        first = asyncio.create_task(coalescer.submit("a"))
        await in_flight(calls, 1)
        rest = [asyncio.create_task(coalescer.submit(item)) for item in "bcd"]
        await asyncio.sleep(0)
        calls.gate.set()

        assert ["A", "B", "C", "D"] == await asyncio.gather(first, *rest)
        assert [["a"], ["b", "c", "d"]] == calls.batches

    asyncio.run(scenario())


def test_a_poisoned_item_fails_alone() -> None:
    async def scenario() -> None:
        calls = Calls()
        calls.gate.set()
        coalescer = Coalescer(calls)

        good, bad, other = await asyncio.gather(
            *(coalescer.submit(item) for item in ("a", "poison", "b")), return_exceptions=True
        )

        assert ["A", "B"] == [good, other]
        assert isinstance(bad, ValueError)

    asyncio.run(scenario())


def test_a_store_that_is_away_fails_everybody_once_and_the_next_call_is_tried() -> None:
    async def scenario() -> None:
        calls = Calls(CommitUnknown("gone"))
        calls.gate.set()
        coalescer = Coalescer(calls)

        answers = await asyncio.gather(*(coalescer.submit(item) for item in "abc"), return_exceptions=True)
        assert [CommitUnknown] * 3 == [type(answer) for answer in answers]
        assert 1 == len(calls.batches)

        calls.failure = None
        assert "D" == await coalescer.submit("d")

    asyncio.run(scenario())


def test_a_submit_that_is_cancelled_does_not_disturb_the_call_it_shares() -> None:
    async def scenario() -> None:
        calls = Calls()
        coalescer = Coalescer(calls)
        leaver = asyncio.create_task(coalescer.submit("a"))
        stayer = asyncio.create_task(coalescer.submit("b"))
        await in_flight(calls, 1)
        leaver.cancel()
        calls.gate.set()

        assert "B" == await stayer
        with pytest.raises(asyncio.CancelledError):
            await leaver

    asyncio.run(scenario())


def test_an_item_waits_for_its_turn_and_its_call_no_longer_than_for_a_call_alone() -> None:
    async def scenario() -> None:
        calls = Calls()
        coalescer = Coalescer(calls, answer_seconds=0.2)
        first = asyncio.create_task(coalescer.submit("a"))
        await in_flight(calls, 1)

        with pytest.raises(CommitUnknown):
            await coalescer.submit("b")

        with pytest.raises(CommitUnknown):
            await first
        calls.gate.set()
        assert "C" == await coalescer.submit("c")
        assert [["a"], ["c"]] == calls.batches  # "b" was refused before its turn, and never has one

    asyncio.run(scenario())


def test_a_call_never_takes_more_than_it_can_answer_in_time() -> None:
    async def scenario() -> None:
        calls = Calls()
        coalescer = Coalescer(calls)
        calls.gate.set()

        await asyncio.gather(*(coalescer.submit("a") for _ in range(2 * LARGEST_CALL + 1)))

        assert [LARGEST_CALL, LARGEST_CALL, 1] == [len(batch) for batch in calls.batches]

    asyncio.run(scenario())


def test_what_comes_too_late_for_an_answer_in_time_is_refused_and_keeps_nobody_waiting() -> None:
    now = 0.0

    async def scenario() -> None:
        nonlocal now
        calls = Calls()
        coalescer = Coalescer(calls, answer_seconds=60, clock=lambda: now)
        first = asyncio.create_task(coalescer.submit("a"))
        await in_flight(calls, 1)
        late = asyncio.create_task(coalescer.submit("b"))
        await asyncio.sleep(0)
        now = 31.0
        fresh = asyncio.create_task(coalescer.submit("c"))
        await asyncio.sleep(0)
        calls.gate.set()

        with pytest.raises(StoreUnavailable):
            await late
        assert ["A", "C"] == [await first, await fresh]
        assert [["a"], ["c"]] == calls.batches

    asyncio.run(scenario())
