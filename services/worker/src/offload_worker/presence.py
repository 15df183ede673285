"""Tells the store that this worker is there, for whoever asks which workers there are."""

import logging
import time
from collections.abc import Callable
from threading import Thread

from offload_shared.errors import StoreUnavailable
from offload_shared.store import workers
from offload_shared.store.database import Database
from offload_shared.store.workers import Presence
from offload_worker.lease import HEARTBEATS_PER_LEASE

#: How soon a change of what the worker says of itself is told.
TICK_SECONDS = 0.5
#: For the store to take a farewell. Without it the worker is forgotten a lease later.
FAREWELL_SECONDS = 2.0

_log = logging.getLogger(__name__)


class PresenceKeeper:
    """Announces the worker a few times a lease, and at once when it has news; `step` is called every `TICK_SECONDS`."""

    def __init__(self, database: Database, look: Callable[[], Presence], *, lease_seconds: float) -> None:
        self._database = database
        self._look = look
        self._lease_seconds = lease_seconds
        self._told: Presence | None = None
        self._due = 0.0

    def step(self) -> None:
        """Say what is due to be said; a store that does not answer is told with a later step."""
        presence = self._look()
        now = time.monotonic()
        if presence == self._told and now < self._due:
            return
        self._told = None
        try:
            workers.announce(self._database, presence, lease_seconds=self._lease_seconds)
        except StoreUnavailable as error:
            _log.debug("the worker is announced later: %s", error)  # the lease keeper says so aloud
        else:
            self._told, self._due = presence, now + self._lease_seconds / HEARTBEATS_PER_LEASE

    def leave(self) -> None:
        """Say that the worker has ended, if the store hears of it soon: nobody waits for that."""
        farewell = Thread(target=self._leave, name="farewell", daemon=True)
        farewell.start()
        farewell.join(FAREWELL_SECONDS)

    def _leave(self) -> None:
        try:
            workers.leave(self._database, self._look().name)
        except StoreUnavailable as error:
            _log.debug("the store is not told of the worker's end: %s", error)
