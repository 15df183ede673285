"""The attempts that this worker runs now, and how each of them is stopped."""

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum

from offload_shared.job import Cancelled, ClaimedJob, Failed, Failure, Outcome, Progress, Released
from offload_shared.store.leases import Lease
from offload_shared.tasks.task import RunsIn, Task
from offload_worker.output import OutputBuffer
from offload_worker.runners.family import Snapshot, Use


class Stop(Enum):
    """Why an attempt is ended from outside."""

    CANCELLED = "cancelled"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"
    MEMORY_SHORT = "memory_short"  # not over its own limit, but the largest in a worker that is
    CPU_EXCEEDED = "cpu_exceeded"
    RELEASED = "released"  # the worker ends, and another shall run the job
    FENCED = "fenced"  # the lease is over or held by another: whatever comes of the attempt is worth nothing


def _nothing() -> None:
    """Stop nothing: what runs in the attempt looks at `stopped` by itself."""


class RunningAttempt:
    """One attempt of a job while it runs here; `stop` may be called from any thread, and the first reason counts."""

    def __init__(self, job: ClaimedJob, task: Task, *, leased_at: float, lease_seconds: float) -> None:
        self.job = job
        self.task = task
        self.lease: Lease = (job.id, job.attempt)
        self.started = time.monotonic()
        self.deadline = math.inf
        self.given_up = False  # its thread hangs
        self.output = OutputBuffer()
        self.memory_mb = 0.0  # in use when last measured
        self.peak_memory_mb: float | None = None
        self.cpu_seconds: float | None = None
        self._lease_seconds = lease_seconds
        self._leased_at = leased_at
        self._lock = threading.Lock()
        self._stopped: Stop | None = None
        self._handler_runs = False
        self._moved_on = self.started  # when its thread last did, as far as is known, or was last to
        self._stopper: Callable[[], object] = _nothing
        self._progress: Progress | None = None
        self._measure: Callable[[Snapshot], Use | None] | None = None  # can be told of a process only

    def begin(self) -> None:
        """Let the attempt's time run from now on: what it took to make ready for it was its worker's."""
        self.started = self._moved_on = time.monotonic()
        self.deadline = self.started + self.job.timeout_seconds
        self._handler_runs = True

    def still_ending(self) -> None:
        """Note that the handler is over, and that the attempt's thread is still at work on what is left to do."""
        self._handler_runs = False
        self._moved_on = time.monotonic()

    @property
    def stopped(self) -> Stop | None:
        """Why the attempt was stopped, or None while nobody wants that."""
        return self._stopped

    def stop(self, reason: Stop) -> None:
        """End the attempt as soon as where it runs allows: at once in a process."""
        with self._lock:
            if self._stopped is None:
                self._moved_on = time.monotonic()
                self._stopped = reason
                self._stopper()

    def give_up(self) -> None:
        """Let the lease run out, whatever becomes of the attempt's thread: another worker shall have the job."""
        self.given_up = True
        self.stop(Stop.FENCED)

    def on_stop(self, stopper: Callable[[], object]) -> None:
        """Say how to end the attempt; called at once when that is wanted already."""
        with self._lock:
            self._stopper = stopper
            if self._stopped is not None:
                stopper()

    def detach(self) -> bool:
        """Let no stop reach where the attempt ran any more: it is over there; returns whether one did."""
        with self._lock:
            self._stopper = _nothing
            return self._stopped is not None

    def measured_by(self, measure: Callable[[Snapshot], Use | None]) -> None:
        """Say how to tell what the attempt uses."""
        self._measure = measure

    @property
    def measurable(self) -> bool:
        """Whether it can be told what the attempt uses."""
        return self._measure is not None

    def sample(self, seen: Snapshot) -> None:
        """Measure what the attempt uses, where that can be told, and remember the peak."""
        used = self._measure(seen) if self._measure else None
        if used is not None:
            self.memory_mb = used.memory_mb
            self.peak_memory_mb = max(used.memory_mb, self.peak_memory_mb or 0.0) or None  # 0: it has just ended
            self.cpu_seconds = used.cpu_seconds

    def prolonged(self, leased_at: float) -> None:
        """Note a good heartbeat that was sent at this monotonic time."""
        self._leased_at = leased_at

    def lease_is_running_out(self, now: float) -> bool:
        """Whether no heartbeat succeeded for so long that another worker may soon have the job."""
        return now > self._leased_at + self._lease_seconds * 5 / 6

    def hangs(self, now: float, *, begin_seconds: float, end_seconds: float) -> bool:
        """Whether its thread has neither begun it, nor ended it once it was stopped, for as long as this.

        A handler that runs in the worker itself may take its time to see that it was stopped.
        """
        if self._stopped:
            at_once = self.task.runs_in is RunsIn.PROCESS or not self._handler_runs
            return at_once and now > self._moved_on + end_seconds
        return self.deadline == math.inf and now > self._moved_on + begin_seconds

    def report(self, progress: Progress) -> None:
        """Note how far the attempt is; the lease keeper stores it with the next heartbeat."""
        self._progress = progress

    def take_progress(self) -> Progress | None:
        """Return the progress reported since the last call."""
        progress, self._progress = self._progress, None
        return progress

    def wall_seconds(self) -> float:
        """Return for how many seconds the attempt has run."""
        return time.monotonic() - self.started

    def outcome_of_stop(self) -> Outcome | None:  # noqa: PLR0911 - a return a reason
        """Return how a stopped attempt ends, or None when it was not stopped, or its end is nobody's to store."""
        match self._stopped:
            case Stop.CANCELLED:
                return Cancelled()
            case Stop.TIMEOUT:
                return Failed(Failure.TIMEOUT, f"ended after its limit of {self.job.timeout_seconds:g} seconds")
            case Stop.OUT_OF_MEMORY:
                limit = f"its limit of {self.job.memory_limit_mb} MB"
                return Failed(Failure.OUT_OF_MEMORY, f"ended when its processes used more than {limit}")
            case Stop.MEMORY_SHORT:
                detail = f"ended with {self.memory_mb:.0f} MB, the most of all jobs on a worker that ran out of memory"
                return Failed(Failure.OUT_OF_MEMORY, detail)
            case Stop.CPU_EXCEEDED:
                limit = f"their limit of {self.job.cpu_limit_seconds:g} seconds"
                return Failed(Failure.CPU_EXCEEDED, f"ended when its processes had computed for longer than {limit}")
            case Stop.RELEASED:
                return Released()
            case _:
                return None


class Running:
    """All attempts that run in this worker."""

    def __init__(self) -> None:
        self._attempts: dict[Lease, RunningAttempt] = {}
        self._changed = threading.Condition()

    @contextmanager
    def watch(self, attempt: RunningAttempt) -> Iterator[RunningAttempt]:
        """Keep an attempt's lease and limits until it is over."""
        with self._changed:
            self._attempts[attempt.lease] = attempt
        try:
            yield attempt
        finally:
            with self._changed:
                self._attempts.pop(attempt.lease, None)
                self._changed.notify_all()

    def all(self) -> list[RunningAttempt]:
        """Return the attempts running at this moment."""
        with self._changed:
            return list(self._attempts.values())

    def wait_until_idle(self, seconds: float) -> bool:
        """Wait until no attempt runs, at most so long; returns whether none does."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._attempts, seconds)
