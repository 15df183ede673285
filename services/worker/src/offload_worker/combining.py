"""Lets threads share one call: many rows in one transaction cost little more than one."""

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from offload_shared.errors import StoreUnavailable

Item = TypeVar("Item")
Answer = TypeVar("Answer")

#: Larger calls gain next to nothing, and hold their locks for longer.
LARGEST_CALL = 100


class _Place(Generic[Item, Answer]):
    def __init__(self, item: Item) -> None:
        self.item = item
        self.answers: list[Answer] = []  # its own, once there is one
        self.error: Exception | None = None
        self.woken = threading.Lock()  # released once it has been answered, or is to lead
        self.woken.acquire()

    def taken(self) -> bool:
        return bool(self.answers) or self.error is not None


class Combiner(Generic[Item, Answer]):
    """Whoever comes while a call is under way goes with the next one, which the first of them makes for all.

    So a lone item waits for nobody, and takes no other thread. `call` answers a sequence of items in their order.
    """

    def __init__(self, call: Callable[[Sequence[Item]], Sequence[Answer]]) -> None:
        self._call = call
        self._lock = threading.Lock()
        self._waiting: list[_Place[Item, Answer]] = []
        self._under_way = False

    def submit(self, item: Item) -> Answer:
        """Return the answer to `item`, whatever becomes of its neighbours; raises what the call raises for it."""
        place: _Place[Item, Answer] = _Place(item)
        with self._lock:
            self._waiting.append(place)
            leads, self._under_way = not self._under_way, True
        if not leads:
            place.woken.acquire()
        if not place.taken():
            self._lead()
        if place.error is not None:
            raise place.error
        return place.answers[0]

    def _lead(self) -> None:
        with self._lock:
            together, self._waiting = self._waiting[:LARGEST_CALL], self._waiting[LARGEST_CALL:]
        try:
            self._answer(together)
        finally:
            with self._lock:
                following = self._waiting[:1]
                self._under_way = bool(following)
            for place in [*together[1:], *following]:
                place.woken.release()

    def _answer(self, together: list[_Place[Item, Answer]]) -> None:
        try:
            answers = self._call([place.item for place in together])
        except StoreUnavailable as error:  # the same for everybody: nothing to be gained by trying each alone
            for place in together:
                place.error = error
        except Exception as error:  # noqa: BLE001 - handed on to whoever waits for the answer
            if len(together) == 1:
                together[0].error = error
                return
            for alone in together:
                self._answer([alone])
        else:
            for place, answer in zip(together, answers, strict=True):
                place.answers.append(answer)
