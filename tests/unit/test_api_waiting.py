"""Waiting for jobs: one reader of the store for all who wait, and none when nobody does."""

import asyncio
from collections.abc import Sequence
from typing import Any

from offload_api.waiting import JobWatch
from offload_shared.errors import StoreUnavailable


class Versions:
    """A store that knows versions, and counts how often it is asked."""

    def __init__(self, **versions: int) -> None:
        self.versions = versions
        self.asked: list[set[str]] = []
        self.away = False

    async def __call__(self, job_ids: Sequence[str]) -> dict[str, int]:
        self.asked.append(set(job_ids))
        if self.away:
            raise StoreUnavailable("away")
        return {job_id: self.versions[job_id] for job_id in job_ids if job_id in self.versions}


async def stays() -> Any:
    """Receive nothing: the client is there and waits."""
    await asyncio.Event().wait()


async def leaves() -> Any:
    return {"type": "http.disconnect"}


async def asked(versions: Versions, times: int) -> None:
    while len(versions.asked) < times:  # noqa: ASYNC110 - a turn of the event loop, no time
        await asyncio.sleep(0)


def watch(versions: Versions) -> JobWatch:
    return JobWatch(versions, interval_seconds=0.001)


def test_a_waiter_is_woken_by_another_version() -> None:
    async def scenario() -> None:
        versions = Versions(a=1)
        waiting = asyncio.create_task(watch(versions).changed("a", 1, seconds=60, receive=stays))
        await asked(versions, 3)
        assert not waiting.done()
        versions.versions["a"] = 2

        assert await waiting

    asyncio.run(scenario())


def test_who_is_told_to_look_looks_at_once() -> None:
    async def scenario() -> None:
        versions = Versions(a=1)
        watched = JobWatch(versions, interval_seconds=3600)
        waiting = asyncio.create_task(watched.changed("a", 1, seconds=60, receive=stays))
        watched.look()
        await asked(versions, 1)
        assert not waiting.done()

        versions.versions["a"] = 2
        watched.look()

        assert await waiting

    asyncio.run(scenario())


def test_a_job_that_disappears_counts_as_changed() -> None:
    async def scenario() -> None:
        assert await watch(Versions()).changed("a", 1, seconds=60, receive=stays)

    asyncio.run(scenario())


def test_all_waiters_share_one_question() -> None:
    async def scenario() -> None:
        versions = Versions(a=1, b=1)
        watched = watch(versions)
        waiting = [
            asyncio.create_task(watched.changed(job_id, 1, seconds=60, receive=stays)) for job_id in ("a", "b") * 50
        ]
        await asked(versions, 2)
        versions.versions = {"a": 2, "b": 2}

        assert all(await asyncio.gather(*waiting))
        assert {"a", "b"} == versions.asked[-1]

    asyncio.run(scenario())


def test_nobody_asks_when_nobody_waits() -> None:
    async def scenario() -> None:
        versions = Versions(a=1)
        watched = watch(versions)
        assert not await watched.changed("a", 1, seconds=0.01, receive=stays)
        while watched._poller is not None:  # noqa: ASYNC110
            await asyncio.sleep(0)
        questions = len(versions.asked)
        await asyncio.sleep(0.02)  # twenty times the interval

        assert questions == len(versions.asked)

    asyncio.run(scenario())


def test_a_client_that_leaves_does_not_wait_on() -> None:
    async def scenario() -> None:
        watched = watch(Versions(a=1))

        assert not await watched.changed("a", 1, seconds=60, receive=leaves)
        assert not watched._waiters

    asyncio.run(scenario())


def test_a_waiter_is_woken_by_other_news_too_which_nobody_seeks_any_longer_then() -> None:
    async def scenario() -> None:
        watched, told, left = watch(Versions(a=1)), asyncio.Event(), asyncio.Event()

        async def news() -> bool:
            try:
                return await told.wait()
            finally:
                left.set()

        assert not await watched.changed("a", 1, seconds=0.01, receive=stays, news=news)
        await left.wait()
        waiting = asyncio.create_task(watched.changed("a", 1, seconds=60, receive=stays, news=news))
        told.set()

        assert await waiting

    asyncio.run(scenario())


def test_waiting_outlasts_a_store_that_is_away() -> None:
    async def scenario() -> None:
        versions = Versions(a=1)
        versions.away = True
        waiting = asyncio.create_task(watch(versions).changed("a", 1, seconds=60, receive=stays))
        await asked(versions, 3)
        versions.versions["a"] = 2
        versions.away = False

        assert await waiting

    asyncio.run(scenario())


def test_closing_wakes_everybody_and_lets_nobody_wait_again() -> None:
    async def scenario() -> None:
        versions = Versions(a=1)
        watched = watch(versions)
        waiting = asyncio.create_task(watched.changed("a", 1, seconds=60, receive=stays))
        await asked(versions, 1)
        watched.close()

        assert not await waiting
        assert not await watched.changed("a", 1, seconds=60, receive=stays)

    asyncio.run(scenario())
