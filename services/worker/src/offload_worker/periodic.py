"""A thread that does one thing over and over."""

import logging
import threading
import time
from collections.abc import Callable

END_SECONDS = 5.0

_log = logging.getLogger(__name__)


class Periodic:
    """Calls `step` every so many seconds, on a thread of its own, until it is told to end.

    A step that raises is logged and tried again: a thread that died would be missed by nobody.
    """

    def __init__(self, name: str, seconds: float, step: Callable[[], object]) -> None:
        self.name = name
        self._seconds = seconds
        self._step = step
        self._ended = threading.Event()
        self._stepped = time.monotonic()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def end(self) -> None:
        """End, when the step under way is over; one that takes too long is left behind."""
        self._ended.set()
        self._thread.join(END_SECONDS)

    def is_alive(self) -> bool:
        """Whether the thread lives."""
        return self._thread.is_alive()

    def silent_seconds(self) -> float:
        """Return for how long a step has been due and is not over yet, a step's interval more or less."""
        return time.monotonic() - self._stepped - self._seconds

    def _run(self) -> None:
        while not self._ended.wait(self._seconds):
            try:
                self._step()
            except Exception:  # noqa: BLE001 - whatever it is, the next step may succeed
                _log.exception("a step of the %s failed; it goes on", self.name)
            self._stepped = time.monotonic()
