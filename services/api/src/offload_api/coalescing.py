"""Lets concurrent requests share one call: many rows in one statement are the largest gain in speed there is."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from offload_shared.errors import CommitUnknown, StoreUnavailable

Item = TypeVar("Item")
Answer = TypeVar("Answer")

LARGEST_CALL = 500


class Coalescer(Generic[Item, Answer]):
    """Gathers items while a call is in flight and sends them with the next one; a lone item waits for nobody."""

    def __init__(
        self, call: Callable[[Sequence[Item]], Awaitable[Sequence[Answer]]], *, answer_seconds: float = 2.5
    ) -> None:
        self._call = call
        self._answer_seconds = answer_seconds
        self._waiting: list[tuple[Item, asyncio.Future[Answer]]] = []
        self._flight: asyncio.Task[None] | None = None

    async def submit(self, item: Item) -> Answer:
        """Return the answer to `item`, whatever became of its neighbours; raises what the call raises for it.

        Raises `CommitUnknown` when waiting for its turn and for the call take too long together; what has not had its
        turn by then never has. Cancelling a submit does not cancel a call it shares.
        """
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, answer))
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
                wanted = [(item, answer) for item, answer in self._waiting if not answer.done()]
                batch, self._waiting = wanted[:LARGEST_CALL], wanted[LARGEST_CALL:]
                if batch:
                    await self._answer(batch)
        finally:
            self._flight = None

    async def _answer(self, batch: list[tuple[Item, asyncio.Future[Answer]]]) -> None:
        try:
            answers = await self._call([item for item, _ in batch])
        except StoreUnavailable as error:  # the same for everybody: nothing to be gained by trying each alone
            _fail(batch, error)
        except Exception as error:  # noqa: BLE001 - handed on to whoever awaits the answer
            if len(batch) == 1:
                _fail(batch, error)
                return
            for alone in batch:
                await self._answer([alone])
        else:
            for (_, answer), value in zip(batch, answers, strict=True):
                if not answer.done():
                    answer.set_result(value)


def _fail(batch: Sequence[tuple[object, asyncio.Future[Answer]]], error: Exception) -> None:
    for _, answer in batch:
        if not answer.done():
            answer.set_exception(error)
