"""A job's way through a worker: claim, run, finish."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from offload_shared import failpoints, tasks
from offload_shared.artifacts import Artifacts
from offload_shared.errors import ArtifactsUnavailable, StoreUnavailable
from offload_shared.failpoints import Point
from offload_shared.job import ClaimedJob, Failed, Failure, JobState, Outcome, Released, Succeeded, Usage
from offload_shared.store.database import Database
from offload_shared.store.leases import End
from offload_shared.tasks.task import RunsIn
from offload_worker.breaker import Breaker
from offload_worker.broker import Delivery
from offload_worker.handle import JobStopped
from offload_worker.metrics import WorkerMetrics
from offload_worker.runners.runner import Ended, Runner
from offload_worker.running import Running, RunningAttempt, Stop
from offload_worker.workspace import ArtifactRefused, WorkerUnable, Workspace, workspace

#: Between two tries of a statement while the store is down.
PAUSE_SECONDS = 0.5

Claim = Callable[[str], ClaimedJob | None]
Finish = Callable[[End], JobState | None]

_log = logging.getLogger(__name__)


class Executor:
    """Executes jobs; called on Dramatiq's worker threads, one job a call.

    `claim` takes a job's lease, and `finish` ends an attempt, as the store's verbs do. `job_ended` is called after each
    end for good that was stored.
    """

    def __init__(
        self,
        *,
        claim: Claim,
        finish: Finish,
        database: Database,
        artifacts: Artifacts,
        runners: Mapping[RunsIn, Runner],
        running: Running,
        breaker: Breaker,
        metrics: WorkerMetrics,
        folder: Path,
        lease_seconds: float,
        job_ended: Callable[[], object],
    ) -> None:
        self._claim_job = claim
        self._end = finish
        self._database = database
        self._artifacts = artifacts
        self._runners = runners
        self._running = running
        self._breaker = breaker
        self._metrics = metrics
        self._folder = folder
        self._lease_seconds = lease_seconds
        self._job_ended = job_ended
        self._draining = threading.Event()

    def execute(self, delivery: Delivery) -> None:
        """Take a hint to the end of the attempt it leads to, if it leads to one."""
        failpoints.reached(Point.DELIVERED)
        claimed = self._claim(delivery)
        if claimed is None:
            return
        job, leased_at = claimed
        attempt = RunningAttempt(
            job, tasks.registry()[job.task], leased_at=leased_at, lease_seconds=self._lease_seconds
        )
        with self._running.watch(attempt):
            if self._draining.is_set():
                self._finish(attempt, Released(), Usage())
            else:
                self._run_and_finish(attempt)

    def drain(self) -> None:
        """Give back every running job, and each that is claimed from now on, for other workers to run."""
        self._draining.set()
        for attempt in self._running.all():
            attempt.stop(Stop.RELEASED)

    def abandon(self) -> None:
        """Give back what is running still, though its handlers cannot be ended: this process is about to.

        Raises `StoreUnavailable`; then the leases run out.
        """
        for attempt in self._running.all():
            usage = Usage(attempt.wall_seconds())
            self._end(End(attempt.lease, Released(), usage, attempt.output.pending()))

    def _claim(self, delivery: Delivery) -> tuple[ClaimedJob, float] | None:
        while True:
            leased_at = time.monotonic()  # of this try: an outage before it shortens no lease
            try:
                job = self._claim_job(delivery.job_id)
            except StoreUnavailable as error:
                # The hint stays unsettled: should this worker die first, the broker gives it to another.
                _log.warning("job %s cannot be claimed: %s", delivery.job_id, error)
                if self._draining.wait(PAUSE_SECONDS):
                    delivery.leave()
                    return None
            else:
                self._metrics.claimed(time.monotonic() - leased_at, refused=job is None)
                delivery.settle()
                return (job, leased_at) if job else None

    def _run_and_finish(self, attempt: RunningAttempt) -> None:
        job = attempt.job
        _log.info("job %s: %s, attempt %d, starts", job.id, job.task, job.attempt)
        try:
            with workspace(self._folder, job, self._database, self._artifacts) as space:
                ended = self._run(attempt, space)
                attempt.still_ending()
                if attempt.task.runs_in is RunsIn.PROCESS:
                    self._breaker.note(job.id, ended.outcome)
                outcome = _keep_artifacts(attempt, ended.outcome, space)
                state = self._finish(attempt, outcome, ended.usage, space)
        except WorkerUnable as error:
            self._breaker.trip(str(error))
            state = self._finish(attempt, Released(), Usage(attempt.wall_seconds()))
        shown = state.value if state else "fenced"
        _log.info("job %s: attempt %d, ends %s after %.3f s", job.id, job.attempt, shown, attempt.wall_seconds())

    def _run(self, attempt: RunningAttempt, space: Workspace) -> Ended:
        try:
            return self._runners[attempt.task.runs_in].run(attempt, space)
        except WorkerUnable:
            raise
        except BaseException as error:  # noqa: BLE001 - the job must be told, whatever it was
            _log.exception("job %s: could not be run", attempt.job.id)
            detail = f"the worker could not run the job: {type(error).__name__}"
            return Ended(Failed(Failure.ERROR, detail), Usage(attempt.wall_seconds()))

    def _finish(
        self, attempt: RunningAttempt, outcome: Outcome | None, usage: Usage, space: Workspace | None = None
    ) -> JobState | None:
        state = self._store_end(attempt, outcome, usage, space)
        self._metrics.ended(attempt.job.task, outcome, stored=state is not None)
        return state

    def _store_end(
        self, attempt: RunningAttempt, outcome: Outcome | None, usage: Usage, space: Workspace | None
    ) -> JobState | None:
        while outcome:
            try:
                state = self._end(End(attempt.lease, outcome, usage, attempt.output.pending()))
            except StoreUnavailable as error:
                attempt.still_ending()
                # The work is done: only another worker's claim, after the lease, makes its outcome worthless.
                _log.warning("job %s: its outcome cannot be stored yet: %s", attempt.job.id, error)
                # Whether an earlier try was committed is not known, so its artifacts stay.
                if self._draining.is_set() and attempt.lease_is_running_out(time.monotonic()):
                    return None
                time.sleep(PAUSE_SECONDS)
            else:
                if state and state.final:
                    self._job_ended()
                if state is None and isinstance(outcome, Succeeded) and space:
                    space.forget(outcome.artifacts)  # the store itself has refused: no row will ever name them
                return state
        return None  # fenced: whatever came of it is nobody's to store


def _keep_artifacts(attempt: RunningAttempt, outcome: Outcome | None, space: Workspace) -> Outcome | None:
    if not isinstance(outcome, Succeeded):
        return outcome
    known = attempt.stopped  # its handler has returned despite it

    def check() -> None:
        attempt.still_ending()
        if attempt.stopped is not known:
            raise JobStopped

    try:
        return Succeeded(outcome.result, space.keep(check))
    except (JobStopped, ArtifactRefused, ArtifactsUnavailable) as error:
        # What a stop raises while a file is read, the storage's client takes for a failure of its own.
        stopped = attempt.stopped is not known
        return attempt.outcome_of_stop() if stopped else Failed(Failure.ERROR, str(error))
