"""Measures the processor time of coroutines, many of which share one thread."""

import time
from collections.abc import Coroutine, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Metered(Generic[T]):
    """An awaitable that runs a coroutine and adds up the seconds that its steps take of the thread's processor time.

    Tasks that the coroutine starts beside itself are not counted.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self._coroutine = coroutine
        self.cpu_seconds = 0.0

    def __await__(self) -> Generator[Any, Any, T]:
        steps = self._coroutine.__await__()
        step, argument = steps.send, None
        while True:
            began = time.thread_time()
            try:
                awaited = step(argument)
            except StopIteration as end:
                result: T = end.value
                return result
            finally:
                self.cpu_seconds += time.thread_time() - began
            step, argument = steps.send, None
            try:
                argument = yield awaited
            except BaseException as error:  # noqa: BLE001 - a cancellation above all: the coroutine's to handle
                step, argument = steps.throw, error
