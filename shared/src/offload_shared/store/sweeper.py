"""Decides when to sweep: on any node, with no leader, and not before the living had time to prolong their leases."""

import logging
import time
from collections.abc import Callable

from offload_shared.errors import StoreUnavailable
from offload_shared.store import recovery
from offload_shared.store.database import Database

_log = logging.getLogger(__name__)


class Sweeper:
    """Ends what nobody will end; call `sweep` at an interval, from one thread.

    While the store was away no lease could be prolonged, so for one lease after its first answer, at the start and
    after each outage, the sweeper leaves leases alone.
    """

    def __init__(self, database: Database, lease_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._lease_seconds = lease_seconds
        self._clock = clock
        self._reached_since: float | None = None  # since when every statement was answered

    def sweep(self) -> None:
        """Fail expired jobs and end lost attempts; a store that does not answer is tried again next time."""
        try:
            self._sweep()
        except StoreUnavailable as error:
            if self._reached_since is not None:
                _log.warning("%s; sweeping goes on when it is back", error)
            self._reached_since = None

    def _sweep(self) -> None:
        expired = recovery.fail_expired(self._database)
        now = self._clock()
        if self._reached_since is None:
            self._reached_since = now
        lost = recovery.end_lost(self._database) if now - self._reached_since >= self._lease_seconds else 0
        if expired or lost:
            _log.info("swept %d expired jobs and %d lost attempts", expired, lost)
