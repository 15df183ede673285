"""How a process spends the requests that it takes out of a tenant's bucket."""

import asyncio
from collections.abc import Mapping

import pytest

from offload_api.problems import Problem
from offload_api.rates import KEPT_SECONDS, RateLimiter
from offload_shared.store.rates import Grant


class Bucket:
    """A bucket that never fills up again by itself, and a process's clock."""

    def __init__(self, held: int, per_window: int = 1000, turns: int = 0) -> None:
        self.held = held
        self.turns = turns  # of the event loop that an answer takes
        self.taken: list[int] = []
        self.seconds = 100.0
        self.limiter = RateLimiter(self.take, per_window=per_window, clock=lambda: self.seconds)

    async def take(self, wanted: Mapping[str, int]) -> dict[str, Grant]:
        for _ in range(self.turns):
            await asyncio.sleep(0)
        granted = min(self.held, wanted["a"])
        self.held -= granted
        self.taken.append(wanted["a"])
        return {"a": Grant(granted, self.held, 7.2, 60.0)}

    async def served(self, requests: int) -> int:
        """Send so many requests at once and return how many are served."""
        answers = await asyncio.gather(*(self.limiter.spend("a") for _ in range(requests)), return_exceptions=True)
        return sum(isinstance(answer, dict) for answer in answers)


def test_no_more_requests_are_served_than_the_bucket_held() -> None:
    async def run() -> None:
        bucket = Bucket(held=100)
        assert 60 == await bucket.served(60)
        assert 40 == await bucket.served(60)
        assert 0 == await bucket.served(5)

    asyncio.run(run())


def test_under_load_one_statement_serves_many() -> None:
    async def run() -> None:
        bucket = Bucket(held=1000)
        for _ in range(300):
            assert 1 == await bucket.served(1)
        assert [1, 2, 4, 8, 16, 32, 50, 50, 50, 50, 50] == bucket.taken

    asyncio.run(run())


@pytest.mark.parametrize("clients", [1, 4, 10, 32])
def test_clients_that_ask_at_once_lose_nothing_of_what_is_theirs(clients: int) -> None:
    async def run() -> None:
        bucket = Bucket(held=600, per_window=600, turns=3)

        async def client() -> int:
            served = 0
            while await bucket.served(1):
                served += 1
            return served

        assert 600 == sum(await asyncio.gather(*(client() for _ in range(clients))))

    asyncio.run(run())


def test_who_asks_now_and_then_takes_one_at_a_time() -> None:
    async def run() -> None:
        bucket = Bucket(held=1000)
        for _ in range(10):
            await bucket.served(1)
            bucket.seconds += KEPT_SECONDS
        assert [1] * 10 == bucket.taken

    asyncio.run(run())


def test_who_is_refused_is_not_asked_about_again_until_it_makes_sense() -> None:
    async def run() -> None:
        bucket = Bucket(held=1)
        await bucket.served(1)
        for _ in range(5):
            with pytest.raises(Problem) as caught:
                await bucket.limiter.spend("a")
        assert (429, "/problems/too-many-requests") == (caught.value.details.status, caught.value.details.type)
        assert "8" == caught.value.headers["Retry-After"]
        assert [1] == bucket.taken

        bucket.seconds += 7.2
        bucket.held = 1
        assert 1 == await bucket.served(1)

    asyncio.run(run())


def test_the_headers_tell_of_the_limit_and_what_is_left() -> None:
    async def run() -> None:
        bucket = Bucket(held=1000)
        told = [await bucket.limiter.spend("a") for _ in range(2)]
        assert {'"requests";q=1000;w=60'} == {each["RateLimit-Policy"] for each in told}
        assert ['"requests";r=999;t=60', '"requests";r=998;t=60'] == [each["RateLimit"] for each in told]

    asyncio.run(run())
