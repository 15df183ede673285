"""Ends attempts that overstep a limit; it asks nobody, so that nothing outside can keep it waiting."""

import logging
import time

from offload_worker.running import Running, RunningAttempt, Stop

TICK_SECONDS = 0.1

_log = logging.getLogger(__name__)


def watch(running: Running) -> None:
    """Hold every running attempt to its time, its memory and its lease, on the monotonic clock."""
    for attempt in running.all():
        try:
            check(attempt)
        except Exception:  # noqa: BLE001 - one odd attempt must not leave the others unwatched
            _log.exception("job %s: could not be checked", attempt.job.id)


def check(attempt: RunningAttempt) -> None:
    """Stop an attempt that is out of time or memory, or whose lease another worker may soon take over."""
    now = time.monotonic()
    if attempt.stopped is None and attempt.lease_is_running_out(now):
        _log.error("job %s: no good heartbeat, attempt %d is given up", *attempt.lease)
        attempt.stop(Stop.FENCED)
    elif now > attempt.deadline:
        attempt.stop(Stop.TIMEOUT)
    memory_mb = attempt.sample_memory()
    if memory_mb is not None and memory_mb > attempt.job.memory_limit_mb:
        attempt.stop(Stop.OUT_OF_MEMORY)
