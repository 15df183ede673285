"""Where simulated attempts run, and what they leave: work that takes time, ends in every way, and can be stopped."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offload_shared.errors import ArtifactsUnavailable
from offload_shared.job import ClaimedJob, Failed, Failure, Outcome, Progress, StoredFile, Succeeded, Usage
from offload_worker.runners.runner import Ended
from offload_worker.running import RunningAttempt
from offload_worker.workspace import WorkerUnable, Workspace
from tests.simulation.faults import late_end
from tests.simulation.scheduler import Event, Process

if TYPE_CHECKING:
    from tests.simulation.world import World


class SimulatedWorkspace:
    """An attempt's artifacts, in memory."""

    def __init__(self, world: "World", job: ClaimedJob) -> None:
        self._world = world
        self._job = job
        self.named = ""

    def keep(self, check: Callable[[], object]) -> tuple[StoredFile, ...]:
        """Store what was named, unless the attempt is stopped meanwhile; raises `ArtifactsUnavailable`."""
        if not self.named:
            return ()
        self._world.latency()
        check()
        key = f"jobs/{self._job.id}/{self._job.attempt}/note"
        self._world.artifacts.add(key)
        if self._world.chance(0.05):
            raise ArtifactsUnavailable("simulated: stored all the same")
        return (StoredFile(key=key, name="note", media_type="text/plain", size=1, sha256="0" * 64),)

    def forget(self, stored: Iterable[StoredFile]) -> None:
        """Remove artifacts."""
        for each in stored:
            self._world.artifacts.discard(each.key)


def workspace_in(world: "World") -> Any:
    """Return what stands in for `offload_worker.workspace.workspace`."""

    @contextlib.contextmanager
    def workspace(_root: Path, job: ClaimedJob, *_: object) -> Iterator[SimulatedWorkspace]:
        yield SimulatedWorkspace(world, job)

    return workspace


class SimulatedRunner:
    """Runs attempts as the process runner does: a stop ends the work at once."""

    def __init__(self, world: "World", process: Process) -> None:
        self._world = world
        self._process = process

    def run(self, attempt: RunningAttempt, workspace: Workspace) -> Ended:
        """Work for a while; how it ends is the seed's choice."""
        world, rng = self._world, self._world.rng
        if world.chance(world.profile.worker_unable):
            world.count("worker unable")
            raise WorkerUnable("simulated")
        seconds = rng.uniform(5.0, 45.0) if rng.random() < world.profile.long_jobs else rng.random() * 3.0
        run = world.checker.run_begins(self._process, attempt, seconds)
        stopped = Event(world.scheduler)
        attempt.on_stop(stopped.set)
        attempt.begin()
        try:
            if rng.random() < 0.3:
                attempt.report(Progress(50.0))
                attempt.output.line("half way")
            if rng.random() < 0.2:
                workspace.named = "note"  # type: ignore[attr-defined] # the simulated one
            stopped.wait(seconds)
            outcome = attempt.outcome_of_stop() if attempt.detach() else self._outcome(attempt)
        finally:
            world.checker.run_ends(run)
        late_end(world, self._process, attempt.job.id)
        return Ended(outcome, Usage(attempt.wall_seconds()))

    def close(self) -> None: ...

    def _outcome(self, attempt: RunningAttempt) -> Outcome:
        world = self._world
        if world.rng.random() < world.profile.bad_endings:
            if world.rng.random() < world.profile.crashing:
                return Failed(Failure.CRASHED, "simulated")
            return Failed(Failure.REJECTED if world.rng.random() < 0.1 else Failure.ERROR, "simulated")
        made = f'{{"attempt":{attempt.job.attempt},"made":{world.rng.getrandbits(32)}}}'.encode()
        world.checker.made[attempt.lease] = made
        return Succeeded(made)
