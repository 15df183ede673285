"""Runs attempts in child processes: what is stopped there ends at once, with all it started."""

import logging
import signal

from offload_shared import failpoints
from offload_shared.errors import ArtifactsUnavailable, StoreUnavailable
from offload_shared.failpoints import Point
from offload_shared.job import Failed, Failure, Succeeded, Usage
from offload_shared.tasks.task import Task
from offload_worker import container
from offload_worker.checkpoints import StateRefused
from offload_worker.handle import JobRejected
from offload_worker.runners import call, family, frames
from offload_worker.runners.children import Child, ChildGone
from offload_worker.runners.family import Snapshot
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
        kills = container.memory_kills()
        try:
            end = self._serve(child, attempt, workspace)
        except ChildGone as gone:
            attempt.detach()
            attempt.sample(Snapshot(()))  # measured just before it was ended
            self._nursery.replace(child)
            failpoints.reached(Point.CHILD_ENDED)
            if not child.ready and not attempt.stopped:
                raise WorkerUnable(f"a new child cannot begin to work: {gone}") from None
            outcome = attempt.outcome_of_stop() if attempt.stopped else _crash(gone, container.memory_kills() - kills)
            return Ended(outcome, _usage(attempt))
        except BaseException:
            attempt.detach()
            self._nursery.replace(child)  # it may still be at work on an attempt that has failed here
            raise
        child.drain_output()
        attempt.sample(family.alone(child.pid) if end.fit else family.snapshot())
        if attempt.detach() or not end.fit:
            self._nursery.replace(child)  # the stop came too late for the attempt, or the job has changed the child
        else:
            self._nursery.give_back(child)
        return Ended(_outcome(attempt.task, end), _usage(attempt, end.cpu_seconds))

    def _serve(self, child: Child, attempt: RunningAttempt, workspace: Workspace) -> frames.Returned | frames.Raised:
        job = attempt.job
        folder = str(workspace.folder)
        run = frames.Run(job.id, job.attempt, job.task, job.payload, folder, job.memory_limit_mb)
        child.await_ready()
        attempt.begin()
        child.begin(run, attempt.output)
        failpoints.reached(Point.STARTED)
        while True:
            match child.receive():
                case frames.Report(percent, message):
                    attempt.report(clean_progress(percent, message))
                case frames.FileWanted() | frames.ArtifactWanted() | frames.ArtifactNamed() as asked:
                    child.send(_answered(asked, workspace))
                case frames.StateWritten() | frames.StateWanted() as asked:
                    child.send(_answered(asked, workspace))
                case frames.Returned() | frames.Raised() as end:
                    failpoints.reached(Point.RETURNED)
                    if (end.id, end.attempt) != attempt.lease:
                        raise child.broken("it speaks of another attempt")
                    if isinstance(end, frames.Raised) and end.failure not in call.FAILURES:
                        raise child.broken(f"it claims to have ended as {end.failure.value}")
                    if isinstance(end, frames.Raised) and end.trace:
                        _log.warning("job %s: the handler raised:\n%s", job.id, end.trace[-call.LONGEST_TRACE :])
                    return end

    def close(self) -> None:
        """End all idle children."""
        self._nursery.close()


def _answer(asked: frames.Asked, workspace: Workspace) -> frames.ToChild:
    match asked:
        case frames.FileWanted(file_id):
            return frames.FileAt(str(workspace.file(file_id)))
        case frames.ArtifactWanted(job_id, name):
            return frames.FileAt(str(workspace.artifact_of(job_id, name)))
        case frames.ArtifactNamed(name, media_type):
            return frames.FileAt(str(workspace.artifact(name, media_type)))
        case frames.StateWritten():
            workspace.save()
            return frames.Saved()
        case frames.StateWanted():
            path = workspace.saved()
            return frames.StateAt(str(path) if path else None)


def _answered(asked: frames.Asked, workspace: Workspace) -> frames.ToChild:
    try:
        return _answer(asked, workspace)
    except JobRejected as refused:
        return frames.Refused(str(refused), rejected=True)
    except (ArtifactRefused, StateRefused, ArtifactsUnavailable, StoreUnavailable) as error:
        return frames.Refused(str(error), rejected=False)


def _crash(gone: ChildGone, memory_kills: int) -> Failed:
    # Faster than the watchdog looks, an attempt can take what is left of a container's memory.
    if gone.code == -signal.SIGKILL and memory_kills:
        return Failed(Failure.OUT_OF_MEMORY, "ended by the kernel, as the worker's container had no memory left")
    return Failed(Failure.CRASHED, call.sentence(str(gone)))


def _outcome(task: Task, end: frames.Returned | frames.Raised) -> Succeeded | Failed:
    # A child may have run anything: what it says is held to what an honest one would have said.
    if isinstance(end, frames.Raised):
        return Failed(end.failure, call.sentence(end.detail))
    return call.accepted(task, bytes(end.result))


def _usage(attempt: RunningAttempt, cpu_seconds: float | None = None) -> Usage:
    # The child's own word, where it could say it, is finer than what was measured from outside.
    used = attempt.cpu_seconds if cpu_seconds is None else max(0.0, cpu_seconds)
    return Usage(attempt.wall_seconds(), cpu_seconds=used, peak_memory_mb=attempt.peak_memory_mb)
