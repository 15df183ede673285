"""Lets concurrent requests share one call: many rows in one statement are the largest gain in speed there is."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from offload_shared.errors import CommitUnknown, StoreUnavailable

Item = TypeVar("Item")
Answer = TypeVar("Answer")

#: Larger ones gain next to nothing, and on a busy machine take so long that nobody waits for their answers any more.
LARGEST_CALL = 100
#: Of its time an item may wait for its turn so much; the rest is for its call.
LONGEST_WAIT_SHARE = 0.5


class _Waiting(NamedTuple, Generic[Item, Answer]):
    item: Item
    answer: asyncio.Future[Answer]
    since: float


class Coalescer(Generic[Item, Answer]):
    """Gathers items while a call is in flight and sends them with the next one; a lone item waits for nobody."""

    def __init__(
        self,
        call: Callable[[Sequence[Item]], Awaitable[Sequence[Answer]]],
        *,
        answer_seconds: float = 2.5,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._call = call
        self._answer_seconds = answer_seconds
        self._clock = clock
        self._waiting: list[_Waiting[Item, Answer]] = []
        self._flight: asyncio.Task[None] | None = None

    async def submit(self, item: Item) -> Answer:
        """Return the answer to `item`, whatever became of its neighbours; raises what the call raises for it.

        Raises `CommitUnknown` when waiting for its turn and for the call take too long together, and `StoreUnavailable`
        when its turn alone would come too late: more comes than the store can take, and a call for items whose answers
        nobody waits for would leave no time for the others. Cancelling a submit does not cancel a call it shares.
        """
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(item, answer, self._clock()))
        if self._flight is None:
            self._flight = asyncio.create_task(self._fly())
        try:
            async with asyncio.timeout(self._answer_seconds):
                return await answer
        except TimeoutError:
            raise CommitUnknown(f"the store did not answer within {self._answer_seconds:g} s") from None

    async def _fly(self) -> None:
        try:
            while self._waiting:
                self._refuse_late()
                wanted = [each for each in self._waiting if not each.answer.done()]
                batch, self._waiting = wanted[:LARGEST_CALL], wanted[LARGEST_CALL:]
                if batch:
                    await self._answer(batch)
        finally:
            self._flight = None

    def _refuse_late(self) -> None:
        latest = self._clock() - self._answer_seconds * LONGEST_WAIT_SHARE
        _fail(
            [each for each in self._waiting if each.since < latest], StoreUnavailable("more comes than can be stored")
        )

    async def _answer(self, batch: list[_Waiting[Item, Answer]]) -> None:
        try:
            answers = await self._call([each.item for each in batch])
        except StoreUnavailable as error:  # the same for everybody: nothing to be gained by trying each alone
            _fail(batch, error)
        except Exception as error:  # noqa: BLE001 - handed on to whoever awaits the answer
            if len(batch) == 1:
                _fail(batch, error)
                return
            for alone in batch:
                await self._answer([alone])
        else:
            for each, value in zip(batch, answers, strict=True):
                if not each.answer.done():
                    each.answer.set_result(value)


def _fail(batch: Sequence[_Waiting[Item, Answer]], error: Exception) -> None:
    for each in batch:
        if not each.answer.done():
            each.answer.set_exception(error)
