"""Jobs of many tenants are added together, and nobody waits for a tenant that is busy."""

import asyncio
from collections.abc import Sequence

import pytest

from offload_api.additions import Additions
from offload_shared.errors import StoreUnavailable
from offload_shared.job import NewJob
from offload_shared.store.jobs import Added
from tests.jobs import new_job

THREADS = 2


class Quotas:
    """A store in which others hold the quotas of some tenants."""

    def __init__(self, *held: str, answer_seconds: float = 60.0) -> None:
        self.held = set(held)
        self.calls: list[list[str]] = []  # tenants
        self.waiting: list[str] = []  # a tenant for each thread that waits for its quota
        self.additions = Additions(self.add, self.add_waiting, answer_seconds=answer_seconds, most_waiting=THREADS)
        self._freed = asyncio.Event()

    def free(self) -> None:
        self.held.clear()
        self._freed.set()

    async def add(self, jobs: Sequence[NewJob]) -> list[Added]:
        await asyncio.sleep(0)
        self.calls.append([new.tenant for new in jobs])
        return [Added(new.id, busy=new.tenant in self.held) for new in jobs]

    async def add_waiting(self, jobs: Sequence[NewJob]) -> list[Added]:
        tenant = jobs[0].tenant
        self.waiting.append(tenant)
        try:
            if tenant in self.held:
                await self._freed.wait()
        finally:
            self.waiting.remove(tenant)
        return await self.add(jobs)

    def submit(self, tenant: str) -> asyncio.Task[Added]:
        return asyncio.ensure_future(self.additions.submit(new_job(tenant=tenant)))

    def add_many(self, tenant: str) -> asyncio.Task[list[Added]]:
        """Add two jobs together, or none."""
        new = [new_job(tenant=tenant) for _ in range(2)]
        return asyncio.ensure_future(self.additions.alone(tenant, lambda: self.add_waiting(new)))


async def a_while() -> None:
    """Let all come as far as they can."""
    for _ in range(20):
        await asyncio.sleep(0)


def test_jobs_of_many_tenants_are_added_in_one_call() -> None:
    async def scenario() -> None:
        quotas = Quotas()
        await asyncio.gather(*(quotas.submit(tenant) for tenant in "abc"))
        assert [["a", "b", "c"]] == quotas.calls

    asyncio.run(scenario())


def test_others_are_answered_while_a_tenant_is_busy_and_it_is_as_soon_as_it_is_not() -> None:
    async def scenario() -> None:
        quotas = Quotas("a")
        waiting = [quotas.submit("a") for _ in range(3)]
        for _ in range(3):
            assert not (await quotas.submit("b")).busy
        waiting += [quotas.submit("a") for _ in range(3)]
        await a_while()
        assert ["a"] == quotas.waiting

        quotas.free()

        assert not any(answer.busy for answer in await asyncio.gather(*waiting))
        assert [["a"] * 3] * 2 == quotas.calls[-2:]  # together with each other, and with nobody else

    asyncio.run(scenario())


def test_once_a_tenant_is_not_busy_any_more_its_jobs_go_with_those_of_others_again() -> None:
    async def scenario() -> None:
        quotas = Quotas("a")
        waiting = quotas.submit("a")
        await a_while()
        quotas.free()
        await waiting
        del waiting

        await asyncio.gather(quotas.submit("a"), quotas.submit("b"))

        assert ["a", "b"] == quotas.calls[-1]

    asyncio.run(scenario())


def test_whatever_a_tenant_sends_one_thread_waits_for_its_quota() -> None:
    async def scenario() -> None:
        quotas = Quotas("a")
        theirs = [quotas.add_many("a") for _ in range(3)]
        lone = quotas.submit("a")
        await a_while()

        assert ["a"] == quotas.waiting
        assert 2 == len(await quotas.add_many("b"))
        quotas.free()

        assert [2, 2, 2] == [len(answers) for answers in await asyncio.gather(*theirs)]
        assert not (await lone).busy

    asyncio.run(scenario())


def test_however_many_tenants_are_busy_there_are_threads_for_those_that_are_not() -> None:
    async def scenario() -> None:
        quotas = Quotas(*"abcd")
        theirs = [quotas.submit(tenant) for tenant in "abcd"]
        await a_while()

        assert THREADS == len(quotas.waiting)
        assert not (await quotas.submit("e")).busy
        quotas.free()

        assert not any(answer.busy for answer in await asyncio.gather(*theirs))

    asyncio.run(scenario())


def test_who_does_not_have_a_turn_in_time_is_told() -> None:
    async def scenario() -> None:
        quotas = Quotas("a", answer_seconds=0.05)
        first, second = quotas.add_many("a"), quotas.add_many("a")
        with pytest.raises(StoreUnavailable):
            await second
        with pytest.raises(StoreUnavailable):
            await quotas.submit("a")
        quotas.free()

        assert 2 == len(await first)

    asyncio.run(scenario())


def test_a_batch_that_is_given_up_leaves_the_turn_to_the_next() -> None:
    async def scenario() -> None:
        quotas = Quotas("a")
        given_up, following = quotas.add_many("a"), quotas.add_many("a")
        await a_while()
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        quotas.free()

        assert 2 == len(await following)

    asyncio.run(scenario())


def test_where_nothing_is_limited_nobody_has_to_have_a_turn() -> None:
    async def scenario() -> None:
        quotas = Quotas("a")
        quotas.additions = Additions(quotas.add, None, answer_seconds=60, most_waiting=1)

        batches = [quotas.add_many("a") for _ in range(3)]
        await a_while()
        assert ["a"] * 3 == quotas.waiting
        quotas.free()

        await asyncio.gather(*batches)

    asyncio.run(scenario())
