"""Stops a worker from taking jobs for a while when it seems to be the worker that is at fault."""

import logging
import threading
import time
from collections.abc import Callable, Collection

from offload_shared.job import Failed, Failure, Outcome, Succeeded
from offload_worker.slots import Slots

#: So many different jobs whose processes crashed, with none between that came to an end of its own. One poison job is
#: given up before it can do that alone.
MOST_CRASHED_JOBS = 5
MOST_DOUBLINGS = 4

_log = logging.getLogger(__name__)


class Breaker:
    """Counts crashes in series, and pauses the worker's slots; called from any thread."""

    def __init__(
        self, slots: Collection[Slots], *, pause_seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._slots = slots
        self._pause_seconds = pause_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._crashed: set[str] = set()
        self._paused_until = 0.0
        self._pauses = 0  # in a row
        self._reason = ""

    def note(self, job_id: str, outcome: Outcome | None) -> None:
        """Take notice of how an attempt in a process ended; one that was ended from outside tells nothing."""
        with self._lock:
            match outcome:
                case Failed(Failure.CRASHED):
                    self._crashed.add(job_id)
                case Succeeded() | Failed(Failure.ERROR | Failure.REJECTED | Failure.RESULT_TOO_LARGE):
                    self._crashed.clear()
                    self._pauses = 0
            crashed = len(self._crashed)
        if crashed >= MOST_CRASHED_JOBS:
            self.trip(f"the processes of {crashed} jobs in a row have crashed")

    def trip(self, reason: str) -> None:
        """Take no jobs for a while, for longer each time until an attempt comes to an end of its own."""
        with self._lock:
            self._crashed.clear()
            self._reason = reason
            seconds = self._pause_seconds * 2.0 ** min(self._pauses, MOST_DOUBLINGS)
            self._pauses += 1
            self._paused_until = self._clock() + seconds
        _log.error("no more jobs are taken for %g s: %s", seconds, reason)
        for slots in self._slots:
            slots.pause(seconds)

    @property
    def reason(self) -> str | None:
        """Why no jobs are taken at the moment, or None when they are."""
        with self._lock:
            return self._reason if self._clock() < self._paused_until else None
