"""Runs attempts in child processes: what is stopped there ends at once, with all it started."""

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

from offload_shared.errors import ArtifactsUnavailable, StoreUnavailable
from offload_shared.job import Failed, Failure, Succeeded, Usage
from offload_worker.handle import JobRejected
from offload_worker.runners import call, frames
from offload_worker.runners.children import Child, ChildGone, Nursery
from offload_worker.runners.runner import Ended, clean_progress
from offload_worker.running import RunningAttempt
from offload_worker.workspace import ArtifactRefused, Workspace

_log = logging.getLogger(__name__)


class ProcessRunner:
    """Runs each attempt in a child of its own; a child that ends badly is that attempt's failure and nobody else's."""

    def __init__(self, nursery: Nursery) -> None:
        self._nursery = nursery

    def run(self, attempt: RunningAttempt, workspace: Workspace) -> Ended:
        """Run an attempt in a child."""
        child = self._nursery.take()
        attempt.on_stop(child.kill)
        attempt.memory = child.memory_mb
        try:
            end = self._serve(child, attempt, workspace)
        except ChildGone as gone:
            attempt.detach()
            self._nursery.replace(child)
            usage = _usage(attempt)
            crashed = Failed(Failure.CRASHED, call.sentence(f"attempt {attempt.job.attempt}: {gone}"))
            return Ended(attempt.outcome_of_stop() if attempt.stopped else crashed, usage)
        attempt.sample_memory()
        if attempt.detach():
            self._nursery.replace(child)  # the stop came too late for the attempt, and killed the child
        else:
            self._nursery.give_back(child)
        outcome = Succeeded(bytes(end.result)) if isinstance(end, frames.Returned) else Failed(end.failure, end.detail)
        return Ended(outcome, _usage(attempt, end.cpu_seconds))

    def _serve(self, child: Child, attempt: RunningAttempt, workspace: Workspace) -> frames.Returned | frames.Raised:
        job = attempt.job
        folder = str(workspace.folder)
        child.begin(frames.Run(job.id, job.attempt, job.task, job.payload, folder, job.memory_limit_mb))
        while True:
            match child.receive():
                case frames.Report(percent, message):
                    attempt.report(clean_progress(percent, message))
                case frames.FileWanted(file_id):
                    child.send(_answer(partial(workspace.file, file_id)))
                case frames.ArtifactNamed(name, media_type):
                    child.send(_answer(partial(workspace.artifact, name, media_type)))
                case frames.Returned() as end:
                    return end
                case frames.Raised() as end:
                    _log.warning("job %s: %s; its child printed:\n%s", job.id, end.detail, child.output())
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


def _usage(attempt: RunningAttempt, cpu_seconds: float | None = None) -> Usage:
    return Usage(attempt.wall_seconds(), cpu_seconds=cpu_seconds, peak_memory_mb=attempt.peak_memory_mb)
