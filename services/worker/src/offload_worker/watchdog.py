"""Ends attempts that overstep a limit; it asks nobody, so that nothing outside can keep it waiting."""

import logging
import os
import time

from offload_worker.runners import family
from offload_worker.runners.family import Snapshot
from offload_worker.running import Running, RunningAttempt, Stop

TICK_SECONDS = 0.1
#: Of the worker's memory; past it the kernel may soon kill a process of its own choice.
MOST_MEMORY_SHARE = 0.95
#: An attempt that has not begun by then never will: a process gets two minutes to be ready for it.
BEGIN_SECONDS = 180.0
#: Nor will one end that was stopped so long ago; a process is gone within seconds.
END_SECONDS = 90.0

_log = logging.getLogger(__name__)


def watch(running: Running, memory_mb: float) -> None:
    """Hold every running attempt to its limits and its lease, and all of them to the worker's memory, in megabytes."""
    attempts = running.all()
    if not attempts:
        return
    # Where all run in the worker itself there is nothing to measure, and no reason to read all the machine's processes.
    seen = family.snapshot() if any(attempt.measurable for attempt in attempts) else Snapshot(())
    for attempt in attempts:
        try:
            check(attempt, seen)
        except Exception:  # noqa: BLE001 - one odd attempt must not leave the others unwatched
            _log.exception("job %s: could not be checked", attempt.job.id)
    used = seen.use(os.getpid())
    if used:
        check_together(attempts, used_mb=used.memory_mb, memory_mb=memory_mb)


def check(attempt: RunningAttempt, seen: Snapshot) -> None:
    """Stop an attempt that is out of time or memory, or whose lease another worker may soon take over.

    One whose thread hangs is given up: it would keep its lease for as long as this worker lives.
    """
    now = time.monotonic()
    attempt.sample(seen)
    if not attempt.given_up and attempt.hangs(now, begin_seconds=BEGIN_SECONDS, end_seconds=END_SECONDS):
        _log.error("job %s: the thread of attempt %d hangs, it is given up", *attempt.lease)
        attempt.give_up()
    limit = attempt.job.cpu_limit_seconds
    if attempt.stopped:
        return
    if attempt.lease_is_running_out(now):
        _log.error("job %s: no good heartbeat, attempt %d is given up", *attempt.lease)
        attempt.stop(Stop.FENCED)
    elif now > attempt.deadline:
        attempt.stop(Stop.TIMEOUT)
    elif attempt.memory_mb > attempt.job.memory_limit_mb:
        attempt.stop(Stop.OUT_OF_MEMORY)
    elif limit is not None and attempt.cpu_seconds is not None and attempt.cpu_seconds > limit:
        attempt.stop(Stop.CPU_EXCEEDED)


def check_together(attempts: list[RunningAttempt], *, used_mb: float, memory_mb: float) -> None:
    """Stop the largest attempt when the worker with all below it is about to have used up its memory."""
    ended_mb = sum(attempt.memory_mb for attempt in attempts if attempt.stopped)
    largest = max(attempts, key=lambda attempt: 0.0 if attempt.stopped else attempt.memory_mb)
    if used_mb - ended_mb > memory_mb * MOST_MEMORY_SHARE and not largest.stopped and largest.memory_mb > 0:
        _log.error("%.0f of %.0f MB are used: job %s is ended, the largest", used_mb, memory_mb, largest.job.id)
        largest.stop(Stop.MEMORY_SHORT)
