import asyncio
import time

import pytest

from offload_worker.runners.metering import Metered


def compute(seconds: float) -> None:
    ends = time.thread_time() + seconds
    while time.thread_time() < ends:
        pass


def run(metered: Metered[str]) -> str:
    async def awaited() -> str:
        return await metered

    return asyncio.run(awaited())


def test_the_processor_time_of_a_coroutine_is_its_own_and_waiting_takes_none() -> None:
    async def work() -> str:
        compute(0.02)
        await asyncio.sleep(0.2)
        compute(0.02)
        return "done"

    metered = Metered(work())

    assert "done" == run(metered)
    assert 0.04 <= metered.cpu_seconds < 0.2


def test_a_neighbours_processor_time_is_not_counted() -> None:
    async def wait() -> str:
        for _ in range(10):
            await asyncio.sleep(0)
        return "done"

    async def compute_beside() -> None:
        for _ in range(10):
            compute(0.02)
            await asyncio.sleep(0)

    async def both() -> None:
        async def awaited() -> str:
            return await metered

        await asyncio.gather(awaited(), compute_beside())

    metered = Metered(wait())
    asyncio.run(both())

    assert metered.cpu_seconds < 0.1


def test_a_cancellation_reaches_the_coroutine_which_may_clean_up() -> None:
    cleaned: list[str] = []

    async def work() -> str:
        try:
            await asyncio.sleep(1000)
        finally:
            await asyncio.sleep(0)
            cleaned.append("up")
        return "done"

    async def cancelled() -> None:
        async def awaited() -> str:
            return await Metered(work())

        task = asyncio.create_task(awaited())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())

    assert ["up"] == cleaned


def test_what_the_coroutine_raises_passes_through() -> None:
    async def work() -> str:
        await asyncio.sleep(0)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(Metered(work()))
