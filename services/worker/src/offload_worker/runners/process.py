"""Runs attempts in child processes: what is stopped there ends at once, with all it started."""

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

from offload_shared import failpoints
from offload_shared.errors import ArtifactsUnavailable, StoreUnavailable
from offload_shared.failpoints import Point
from offload_shared.job import Failed, Failure, Succeeded, Usage
from offload_worker.handle import JobRejected
from offload_worker.runners import call, family, frames
from offload_worker.runners.children import Child, ChildGone
from offload_worker.runners.nursery import Nursery
from offload_worker.runners.runner import Ended, clean_progress
from offload_worker.running import RunningAttempt
from offload_worker.workspace import ArtifactRefused, WorkerUnable, Workspace

_log = logging.getLogger(__name__)


class ProcessRunner:
    """Runs each attempt in a child of its own; a child that ends badly is that attempt's failure and nobody else's."""

    def __init__(self, nursery: Nursery) -> None:
        self._nursery = nursery

    def run(self, attempt: RunningAttempt, workspace: Workspace) -> Ended:
        """Run an attempt in a child."""
        failpoints.reached(Point.STARTING)
        try:
            child = self._nursery.take()
        except OSError as error:
            raise WorkerUnable(f"no process can be started: {error}") from None
        attempt.on_stop(child.stop)
        attempt.measured_by(child.use)
        try:
            end = self._serve(child, attempt, workspace)
        except ChildGone as gone:
            attempt.detach()
            attempt.sample(family.snapshot())
            self._nursery.replace(child)
            failpoints.reached(Point.CHILD_ENDED)
            if not child.ready and not attempt.stopped:
                raise WorkerUnable(f"a new child cannot begin to work: {gone}") from None
            usage = _usage(attempt)
            crashed = Failed(Failure.CRASHED, call.sentence(str(gone)))
            return Ended(attempt.outcome_of_stop() if attempt.stopped else crashed, usage)
        except BaseException:
            attempt.detach()
            self._nursery.replace(child)  # it may still be at work on an attempt that has failed here
            raise
        child.drain_output()
        attempt.sample(family.snapshot())
        if attempt.detach() or not end.fit:
            self._nursery.replace(child)  # the stop came too late for the attempt, or the job has changed the child
        else:
            self._nursery.give_back(child)
        return Ended(_outcome(end), _usage(attempt, end.cpu_seconds))

    def _serve(self, child: Child, attempt: RunningAttempt, workspace: Workspace) -> frames.Returned | frames.Raised:
        job = attempt.job
        folder = str(workspace.folder)
        run = frames.Run(job.id, job.attempt, job.task, job.payload, folder, job.memory_limit_mb)
        child.begin(run, attempt.output)
        failpoints.reached(Point.STARTED)
        while True:
            match child.receive():
                case frames.Report(percent, message):
                    attempt.report(clean_progress(percent, message))
                case frames.FileWanted(file_id):
                    child.send(_answer(partial(workspace.file, file_id)))
                case frames.ArtifactNamed(name, media_type):
                    child.send(_answer(partial(workspace.artifact, name, media_type)))
                case frames.Returned() | frames.Raised() as end:
                    failpoints.reached(Point.RETURNED)
                    if (end.id, end.attempt) != attempt.lease:
                        raise child.broken("it speaks of another attempt")
                    if isinstance(end, frames.Raised) and end.trace:
                        _log.warning("job %s: the handler raised:\n%s", job.id, end.trace[-call.LONGEST_TRACE :])
                    return end

    def close(self) -> None:
        """End all idle children."""
        self._nursery.close()


def _answer(path: Callable[[], Path]) -> frames.FileAt | frames.Refused:
    try:
        return frames.FileAt(str(path()))
    except JobRejected as refused:
        return frames.Refused(str(refused), rejected=True)
    except (ArtifactRefused, ArtifactsUnavailable, StoreUnavailable) as error:
        return frames.Refused(str(error), rejected=False)


def _outcome(end: frames.Returned | frames.Raised) -> Succeeded | Failed:
    # A child may have run anything: what it says is held to what an honest one would have said.
    if isinstance(end, frames.Raised):
        return Failed(end.failure, call.sentence(end.detail))
    if len(end.result) > frames.LARGEST_RESULT_BYTES:
        return call.too_large(len(end.result))
    return Succeeded(bytes(end.result))


def _usage(attempt: RunningAttempt, cpu_seconds: float | None = None) -> Usage:
    # The child's own word, where it could say it, is finer than what was measured from outside.
    used = attempt.cpu_seconds if cpu_seconds is None else max(0.0, cpu_seconds)
    return Usage(attempt.wall_seconds(), cpu_seconds=used, peak_memory_mb=attempt.peak_memory_mb)
