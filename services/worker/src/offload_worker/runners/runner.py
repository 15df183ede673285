"""What every runner offers: run an attempt where it belongs, and say how it ended."""

import logging
import math
from typing import Any, Protocol

import msgspec

from offload_shared.errors import ArtifactsUnavailable, StoreUnavailable
from offload_shared.job import Outcome, Progress, Succeeded, Usage
from offload_worker.checkpoints import StateRefused
from offload_worker.handle import JobStopped
from offload_worker.runners import call
from offload_worker.running import RunningAttempt, Stop
from offload_worker.workspace import Workspace

LONGEST_MESSAGE = 500

_log = logging.getLogger(__name__)


class Ended(msgspec.Struct, frozen=True):
    """How an attempt ended, and what it took; no outcome means it was fenced."""

    outcome: Outcome | None
    usage: Usage


class Runner(Protocol):
    """Runs attempts of tasks in one kind of place."""

    def run(self, attempt: RunningAttempt, workspace: Workspace) -> Ended:
        """Run an attempt to its end, whatever that is; raises nothing a handler could cause."""

    def close(self) -> None:
        """Free what the runner holds, when no attempt runs any more."""


class WorkspaceHandle:
    """The `JobHandle` of a handler that runs inside the worker's own process."""

    def __init__(self, attempt: RunningAttempt, workspace: Workspace) -> None:
        self.id = attempt.job.id
        self.attempt = attempt.job.attempt
        self._attempt = attempt
        self._workspace = workspace
        self.log = attempt.output.line
        self.file = workspace.file
        self.artifact_of = workspace.artifact_of
        self.artifact = workspace.artifact

    def save(self, state: bytes) -> None:
        """Keep what the next attempt can go on from."""
        self._workspace.state.write_bytes(state)
        try:
            self._workspace.save()
        except (StateRefused, ArtifactsUnavailable, StoreUnavailable) as error:
            raise OSError(str(error)) from error

    def saved(self) -> bytes | None:
        """Return what an attempt of this job has saved last."""
        path = self._workspace.saved()
        return path.read_bytes() if path else None

    def progress(self, percent: float, message: str = "") -> None:
        """Tell the client how far the job is."""
        self._attempt.report(clean_progress(percent, message))

    def check_cancelled(self) -> None:
        """Raise `JobStopped` when the attempt is to end."""
        if self._attempt.stopped:
            raise JobStopped(self._attempt.stopped.value)


def outcome_of(error: BaseException, attempt: RunningAttempt) -> Outcome | None:
    """Return how an attempt ended whose handler raised, which is how a stopped one should end."""
    if attempt.stopped:
        return attempt.outcome_of_stop()
    if trace := call.trace(error):
        _log.warning("job %s: the handler raised:\n%s", attempt.job.id, trace)
    return call.failed(error)


def returned(attempt: RunningAttempt, result: Any) -> Outcome | None:
    """Return how an attempt ended whose handler returned: too late is too late, though it never saw that it was told.

    A result that comes despite a cancel or a release stands: the work is done.
    """
    if attempt.stopped is Stop.TIMEOUT:
        return attempt.outcome_of_stop()
    outcome = call.succeeded(attempt.task, result)
    return call.accepted(attempt.task, outcome.result) if isinstance(outcome, Succeeded) else outcome


def clean_progress(percent: float, message: str) -> Progress:
    """Return a progress that can be stored, whatever a handler says; another kind of number becomes a float."""
    number = float(percent)
    bounded = 0.0 if math.isnan(number) else min(max(number, 0.0), 100.0)
    return Progress(round(bounded, 1), call.sentence(message[:LONGEST_MESSAGE]))
