"""Decides when to sweep: on any node, with no leader, and never against workers that could not reach the store."""

import logging
import time
from collections.abc import Callable

from offload_shared.errors import StoreUnavailable
from offload_shared.store import recovery
from offload_shared.store.database import Database

_log = logging.getLogger(__name__)


class Sweeper:
    """Sweeps a store each time it is told to, every couple of seconds; from one thread at a time.

    A lease that ran out while the store was away says nothing about its worker, which could not prolong it: after the
    sweeper's start, and after each time it found the store away, lost leases are left alone for one whole lease.
    """

    def __init__(
        self, database: Database, *, lease_seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._lease_seconds = lease_seconds
        self._clock = clock
        self._quiet_until: float | None = None  # None: it is not known that the store is there

    def sweep(self) -> int:
        """Fail expired jobs and end lost attempts, where it is time to; returns how many, 0 while the store is away."""
        try:
            return self._sweep()
        except StoreUnavailable as error:
            if self._quiet_until is not None:
                _log.warning("sweeping waits for the store: %s", error)
            self._quiet_until = None
            return 0

    def _sweep(self) -> int:
        expired = self._all(recovery.fail_expired)
        if self._quiet_until is None:
            self._quiet_until = self._clock() + self._lease_seconds
        lost = self._all(recovery.end_lost) if self._clock() >= self._quiet_until else 0
        if lost:
            _log.warning("%d attempts were lost: their workers went silent", lost)
        return expired + lost

    def _all(self, verb: Callable[[Database], int]) -> int:
        total = 0
        while batch := verb(self._database):
            total += batch
        return total
