"""Adds jobs: those of concurrent requests together, and where tenants are limited, nobody's behind a busy tenant's.

Whoever adds jobs of a limited tenant holds its quota for as long as that takes, in this process or another. A call with
jobs of many tenants waits for none of them: the store answers that a tenant is busy, and its jobs are added alone. Who
does that waits with a thread of the store, so of each tenant one does at a time, and never all threads.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypeVar
from weakref import WeakValueDictionary

from offload_api.coalescing import Coalescer
from offload_shared.errors import StoreUnavailable
from offload_shared.job import NewJob
from offload_shared.store.jobs import Added

T = TypeVar("T")
Add = Callable[[Sequence[NewJob]], Awaitable[Sequence[Added]]]


class Additions:
    """`add` adds jobs, and answers `busy` for those of a tenant whose quota others hold; `add_waiting` waits for them.

    Without `add_waiting` nobody is limited. `most_waiting` is how many of the store's threads may be waited with.
    """

    #: Adds a job; raises `StoreUnavailable`, `CommitUnknown`.
    submit: Callable[[NewJob], Awaitable[Added]]

    def __init__(self, add: Add, add_waiting: Add | None, *, answer_seconds: float, most_waiting: int) -> None:
        self._limited = add_waiting is not None
        self._add_waiting = add_waiting or add
        self._answer_seconds = answer_seconds
        self._shared = Coalescer(add, answer_seconds=answer_seconds)
        # Both are there for as long as somebody uses them.
        self._lanes: WeakValueDictionary[str, Coalescer[NewJob, Added]] = WeakValueDictionary()
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._waiting = asyncio.Semaphore(most_waiting)
        self.submit = self._submit if self._limited else self._shared.submit

    async def alone(self, tenant: str, call: Callable[[], Awaitable[T]]) -> T:
        """Return what a call answers that adds jobs of a tenant, and waits for others that do, in its turn.

        Raises what the call raises, and `StoreUnavailable` when its turn does not come in time.
        """
        if not self._limited:
            return await call()
        async with self._turn(tenant):
            return await call()

    async def _submit(self, new: NewJob) -> Added:
        lane = self._lanes.get(new.tenant)
        if lane is None:
            added = await self._shared.submit(new)
            if not added.busy:
                return added
            made: Coalescer[NewJob, Added] = Coalescer(self._add_alone, answer_seconds=self._answer_seconds)
            lane = self._lanes.setdefault(new.tenant, made)
        return await lane.submit(new)

    async def _add_alone(self, jobs: Sequence[NewJob]) -> Sequence[Added]:
        async with self._turn(jobs[0].tenant):
            return await self._add_waiting(jobs)

    @asynccontextmanager
    async def _turn(self, tenant: str) -> AsyncIterator[None]:
        turn = self._turns.setdefault(tenant, asyncio.Lock())
        async with AsyncExitStack() as held:
            try:
                async with asyncio.timeout(self._answer_seconds):
                    await held.enter_async_context(turn)
                    await held.enter_async_context(self._waiting)
            except TimeoutError:
                raise StoreUnavailable("more jobs of one tenant come than can be stored") from None
            yield
