"""A queue's slots: how many of its jobs this worker runs at once."""

import threading
import time
from collections.abc import Callable


class Slots:
    """Counts the free slots of a queue; a hint is only held while one is free for it."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._open = True
        self._paused_until = 0.0
        self._changed = threading.Condition()
        self._listeners: list[Callable[[], None]] = []

    def take(self) -> bool:
        """Take a slot if one is free; no waiting."""
        with self._changed:
            if not self.any_free():
                return False
            self._free -= 1
            return True

    def release(self) -> None:
        """Give a slot back, and wake those who wait for one."""
        with self._changed:
            self._free += 1
            self._changed.notify_all()
        for listener in self._listeners:
            listener()

    def close(self) -> None:
        """Let no more slots be taken: the worker ends."""
        with self._changed:
            self._open = False
            self._changed.notify_all()

    def pause(self, seconds: float) -> None:
        """Let no slot be taken for so long."""
        self._paused_until = time.monotonic() + seconds

    def any_free(self) -> bool:
        """Whether a slot could be taken."""
        return self.free() > 0

    def free(self) -> int:
        """Return how many slots could be taken."""
        return self._free if self._open and time.monotonic() >= self._paused_until else 0

    def wait(self, seconds: float) -> bool:
        """Wait until a slot is free, at most so long; returns whether one is."""
        with self._changed:
            return self._changed.wait_for(self.any_free, seconds)

    def on_release(self, listener: Callable[[], None]) -> None:
        """Call `listener`, on the releasing thread, after each release."""
        self._listeners.append(listener)
