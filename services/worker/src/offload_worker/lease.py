"""Keeps the leases of all running attempts with one statement, and learns from the store which are to be cancelled."""

import logging
import time

from offload_shared import failpoints
from offload_shared.errors import StoreUnavailable
from offload_shared.failpoints import Point
from offload_shared.store import leases, outputs
from offload_shared.store.database import Database
from offload_worker.running import Running, RunningAttempt, Stop

#: How often the store is asked for cancellations: a cancel reaches a child within this time.
TICK_SECONDS = 0.1
HEARTBEATS_PER_LEASE = 6
PROGRESS_SECONDS = 0.25
#: How often output is stored while it comes; the last of it goes with the attempt's end.
OUTPUT_SECONDS = 1.0

_log = logging.getLogger(__name__)


class LeaseKeeper:
    """Speaks with the store about the running attempts; its `step` is called every `TICK_SECONDS`."""

    def __init__(self, database: Database, running: Running, *, worker: str, lease_seconds: float) -> None:
        self._database = database
        self._running = running
        self._worker = worker
        self._lease_seconds = lease_seconds
        self._heartbeat_due = 0.0
        self._progress_due = 0.0
        self._output_due = 0.0
        self._down = False

    def step(self) -> None:
        """Do what is due; a store that does not answer is tried again with the next step."""
        try:
            self.tick()
        except StoreUnavailable as error:
            if not self._down:
                _log.warning("%s; trying on", error)
            self._down = True
        else:
            self._down = False

    def tick(self) -> None:
        """Prolong leases when due, stop what is cancelled or fenced, store progress and output.

        Raises `StoreUnavailable`.
        """
        # What is fenced has given up its lease, also while its thread has not come to its end: others wait for the job.
        kept = [each for each in self._running.all() if not (each.given_up or each.stopped is Stop.FENCED)]
        attempts = {attempt.lease: attempt for attempt in kept}
        if not attempts:
            return
        now = time.monotonic()
        if now >= self._heartbeat_due:
            self._heartbeat(attempts, now)
        else:
            self._cancel(attempts, leases.cancellations(self._database, self._worker))
        if now >= self._progress_due:
            self._report(attempts)
            self._progress_due = now + PROGRESS_SECONDS
        if now >= self._output_due:
            self._store_output(attempts)
            self._output_due = now + OUTPUT_SECONDS

    def _heartbeat(self, attempts: dict[leases.Lease, RunningAttempt], now: float) -> None:
        answer = leases.heartbeat(self._database, attempts.keys(), lease_seconds=self._lease_seconds)
        self._heartbeat_due = now + self._lease_seconds / HEARTBEATS_PER_LEASE
        for lease, attempt in attempts.items():
            if lease not in answer.held:
                attempt.stop(Stop.FENCED)
            else:
                attempt.prolonged(now)
        self._cancel(attempts, answer.cancelled)

    @staticmethod
    def _cancel(attempts: dict[leases.Lease, RunningAttempt], cancelled: frozenset[leases.Lease]) -> None:
        for lease in cancelled & attempts.keys():  # others have ended since, or were fenced here
            failpoints.reached(Point.CANCEL_TOLD)
            attempts[lease].stop(Stop.CANCELLED)

    def _report(self, attempts: dict[leases.Lease, RunningAttempt]) -> None:
        reported = {lease: attempt.take_progress() for lease, attempt in attempts.items()}
        changed = {lease: progress for lease, progress in reported.items() if progress}
        if changed:
            leases.report(self._database, changed)

    def _store_output(self, attempts: dict[leases.Lease, RunningAttempt]) -> None:
        pending = {lease: attempt.output.pending() for lease, attempt in attempts.items()}
        said = {lease: part for lease, part in pending.items() if part}
        if said:
            outputs.append(self._database, said)
            for lease, part in said.items():
                attempts[lease].output.stored(part)
