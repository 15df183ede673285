"""Reads due jobs from the store itself: the embedded way, without a broker."""

import logging
import threading
import time
from collections import deque
from collections.abc import Collection
from functools import partial

from dramatiq import MessageProxy

from offload_shared.errors import StoreUnavailable
from offload_shared.job import Hint
from offload_shared.store import hints
from offload_shared.store.database import Database
from offload_shared.store.doorbell import Doorbell, Topic
from offload_shared.store.unknown import TaskVersion
from offload_worker.broker import HintConsumer
from offload_worker.slots import Slots

#: How often the store is looked at while a slot is free and no doorbell rings: jobs become due by time alone, too.
POLL_SECONDS = 0.05
#: How long to leave a store alone that does not answer.
PAUSE_SECONDS = 1.0

_log = logging.getLogger(__name__)


class StoreConsumer(HintConsumer):
    """Yields a message for each due job of a queue while slots are free."""

    def __init__(self, database: Database, queue: str, slots: Slots, tasks: Collection[TaskVersion]) -> None:
        super().__init__(queue, slots)
        self._database = database
        self._tasks = tasks
        self._found: deque[Hint] = deque()
        self._taken: set[str] = set()  # handed on, and not claimed yet: the store still shows them as due
        self._down = False
        self._rung = threading.Event()
        self._doorbell = Doorbell(database, Topic.ADDED)
        self._doorbell.listen(self._rung.set)

    def look(self) -> MessageProxy | None:
        """Return the next due job's message, or None after a while without one."""
        if not self.slots.wait(0.5):
            self._found.clear()  # looked up before the wait: others may have taken them
            return None
        self._rung.clear()  # before the look, which sees what was rung for
        if not self._found and not self._look():
            if self._down:
                time.sleep(PAUSE_SECONDS)
            else:
                self._rung.wait(POLL_SECONDS)
            return None
        hint = self._found.popleft()
        if not self.slots.take():
            return None
        self._taken.add(hint.job_id)
        return self.message(hint.job_id, partial(self._taken.discard, hint.job_id))

    @property
    def connected(self) -> bool:
        """Whether the store answered when it was last looked at."""
        return not self._down

    def close(self) -> None:
        """Listen no more."""
        self._doorbell.close()

    def _look(self) -> bool:
        taken = frozenset(self._taken)
        try:
            limit = self.slots.free() + len(taken)
            due = hints.due(self._database, self.queue, tasks=self._tasks, limit=limit)
        except StoreUnavailable as error:
            self._say(error)
            return False
        self._say(None)
        self._found.extend(hint for hint in due if hint.job_id not in taken)
        return bool(self._found)

    def _say(self, error: StoreUnavailable | None) -> None:
        if self._down != (error is not None):
            self._down = error is not None
            _log.warning("%s", error or "the store is back")
