"""Claims about a job's way through a worker where the store's answers get lost, on both databases."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from offload_shared.artifacts import Artifacts
from offload_shared.errors import ArtifactsUnavailable, CommitUnknown
from offload_shared.job import Failed, Failure, JobState, Outcome, Output, Succeeded, Usage
from offload_shared.store import leases, outputs
from offload_shared.store.database import Database
from offload_shared.tasks.task import RunsIn
from offload_worker import executor
from offload_worker.breaker import Breaker
from offload_worker.broker import Delivery
from offload_worker.executor import Executor
from offload_worker.handle import JobRejected
from offload_worker.metrics import WorkerMetrics
from offload_worker.runners.runner import Ended
from offload_worker.running import Running, RunningAttempt, Stop
from offload_worker.workspace import WorkerUnable, Workspace, workspace
from tests.jobs import added, claimed, make_due, read

TASK = "probe"


class FakeRunner:
    """Succeeds with an artifact and a line of output; before that it does what a test asks for."""

    names: tuple[str, ...] = ("note.txt",)
    before: Any = staticmethod(lambda attempt: None)

    def run(self, attempt: RunningAttempt, workspace: Workspace) -> Ended:
        self.before(attempt)
        for name in self.names:
            workspace.artifact(name, "text/plain").write_text("kept")
        attempt.output.line("done")
        return Ended(Succeeded(b"{}"), Usage(attempt.wall_seconds()))

    def close(self) -> None: ...


class FakeStorage(Artifacts):
    """Does what a test asks for when a file comes to be stored."""

    before: Any = staticmethod(lambda: None)

    def store(self, *arguments: Any, **options: Any) -> Any:
        self.before()
        return super().store(*arguments, **options)


@pytest.fixture
def storage(tmp_path: Path) -> FakeStorage:
    return FakeStorage((tmp_path / "artifacts").as_uri())


@pytest.fixture
def runner() -> FakeRunner:
    return FakeRunner()


@pytest.fixture
def work(
    database: Database, tmp_path: Path, runner: FakeRunner, storage: FakeStorage, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """Execute a job by its id."""
    monkeypatch.setattr(executor, "PAUSE_SECONDS", 0.01)
    made = Executor(
        claim=lambda job_id: leases.claim(database, job_id, worker="w", lease_seconds=30, tasks={(TASK, 1)}),
        finish=lambda end: leases.finish(database, end.lease, end.outcome, end.usage, end.last_words),
        database=database,
        artifacts=storage,
        runners={RunsIn.PROCESS: runner},
        running=Running(),
        breaker=Breaker([], pause_seconds=1),
        metrics=WorkerMetrics(),
        folder=tmp_path / "work",
        lease_seconds=30,
        job_ended=lambda: None,
    )
    return lambda job_id: made.execute(Delivery(job_id, lambda: None))


def stored(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*.txt")]


def test_what_a_success_left_is_kept_when_only_the_stores_answer_was_lost(
    database: Database, work: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id, finish = added(database), leases.finish
    answers = iter([True])

    def finish_and_lose_the_answer(*arguments: Any) -> JobState | None:
        state = finish(*arguments)
        if next(answers, False):
            raise CommitUnknown("the store went away inside a commit")
        return state

    monkeypatch.setattr(leases, "finish", finish_and_lose_the_answer)

    work(job_id)

    found = read(database, job_id)
    assert (JobState.SUCCEEDED, ["note.txt"]) == (found.state, [each.name for each in found.artifacts])
    assert ["note.txt"] == stored(tmp_path / "artifacts")


def test_what_a_fenced_success_left_is_removed(
    database: Database, work: Any, tmp_path: Path, runner: FakeRunner
) -> None:
    job_id = added(database)

    def lose_the_lease(attempt: RunningAttempt) -> None:
        lost: Outcome = Failed(Failure.LOST, "went silent")
        leases.finish(database, attempt.lease, lost, Usage())

    runner.before = lose_the_lease

    work(job_id)

    assert JobState.QUEUED == read(database, job_id).state
    assert [] == stored(tmp_path / "artifacts")


@pytest.mark.parametrize(
    ("reason", "ends"),
    [
        (Stop.CANCELLED, ["cancelled"]),
        (Stop.TIMEOUT, ["timeout"]),
        (Stop.RELEASED, ["released"]),
        (Stop.FENCED, []),
    ],
)
def test_a_stop_is_obeyed_also_while_artifacts_are_stored(
    database: Database,
    work: Any,
    tmp_path: Path,
    runner: FakeRunner,
    storage: FakeStorage,
    reason: Stop,
    ends: list[str],
) -> None:
    job_id = added(database)
    running: list[RunningAttempt] = []
    runner.before = running.append
    storage.before = lambda: running[0].stop(reason)

    work(job_id)

    assert ends == [each.failure or each.outcome for each in read(database, job_id).attempts]
    assert [] == stored(tmp_path / "artifacts")


def test_a_stop_that_the_handler_has_outrun_keeps_no_artifact_from_being_stored(
    database: Database, work: Any, runner: FakeRunner
) -> None:
    job_id = added(database)
    runner.before = lambda attempt: attempt.stop(Stop.CANCELLED)

    work(job_id)

    assert ["note.txt"] == [each.name for each in read(database, job_id).artifacts]


def test_when_one_artifact_cannot_be_stored_none_is_left_behind(
    database: Database, work: Any, tmp_path: Path, storage: FakeStorage, runner: FakeRunner
) -> None:
    job_id = added(database)
    fates = iter([False, True])

    def fail() -> None:
        if next(fates):
            raise ArtifactsUnavailable("the disk is full")

    storage.before = fail
    runner.names = ("a.txt", "b.txt")

    work(job_id)

    assert "error" == read(database, job_id).attempts[0].failure
    assert [] == stored(tmp_path / "artifacts")


@pytest.mark.parametrize(("tenant", "found"), [("a", ["kept"]), ("b", [])])
def test_a_job_reads_what_another_of_its_tenant_left_behind_and_no_other_tenants(
    database: Database, work: Any, storage: FakeStorage, tmp_path: Path, tenant: str, found: list[str]
) -> None:
    left = added(database, tenant="a")
    work(left)
    job = claimed(database, added(database, tenant=tenant))
    assert job is not None
    texts: list[str] = []

    with workspace(tmp_path / "reading", job, database, storage) as space, suppress(JobRejected):
        texts.append(space.artifact_of(left, "note.txt").read_text())

    assert found == texts


def test_an_artifact_asked_for_twice_is_fetched_once(
    database: Database, work: Any, storage: FakeStorage, tmp_path: Path
) -> None:
    left = added(database)
    work(left)
    job = claimed(database, added(database))
    assert job is not None

    with workspace(tmp_path / "reading", job, database, storage) as space:
        assert space.artifact_of(left, "note.txt") == space.artifact_of(left, "note.txt")


def test_a_job_that_the_worker_could_not_begin_is_given_back_and_counts_as_no_failure(
    database: Database, work: Any, runner: FakeRunner
) -> None:
    job_id = added(database)

    def fail(_: RunningAttempt) -> None:
        raise WorkerUnable("no process can be started")

    runner.before = fail

    work(job_id)

    found = read(database, job_id)
    assert JobState.QUEUED == found.state
    assert ["released"] == [attempt.outcome for attempt in found.attempts]
    make_due(database, job_id)
    assert claimed(database, job_id)


def test_the_last_words_of_an_attempt_are_stored_with_its_end(database: Database, work: Any) -> None:
    job_id = added(database)

    work(job_id)

    assert Output(0, b"done\n") == outputs.read(database, job_id, 1)
