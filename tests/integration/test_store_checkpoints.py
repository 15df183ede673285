"""Claims about the state that attempts save, on both databases and in a folder."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from offload_shared.artifacts import Artifacts
from offload_shared.job import ClaimedJob, Failed, Failure, Succeeded, Usage
from offload_shared.store import leases, leftovers
from offload_shared.store.database import Database
from offload_worker import checkpoints
from offload_worker.checkpoints import Checkpoints, StateRefused
from tests.jobs import added, claimed, make_due

Save = Callable[[Checkpoints, bytes], None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "storage"


@pytest.fixture
def save(tmp_path: Path) -> Save:
    def save(to: Checkpoints, state: bytes) -> None:
        path = tmp_path / "state"
        path.write_bytes(state)
        with path.open("rb") as source:
            to.save(source)

    return save


def of(job: ClaimedJob, database: Database, folder: Path) -> Checkpoints:
    return Checkpoints(job, database, Artifacts(folder.as_uri()))


def begun(database: Database, job_id: str) -> ClaimedJob:
    found = claimed(database, job_id)
    assert found is not None
    return found


def again(database: Database, job: ClaimedJob) -> ClaimedJob:
    """End an attempt in an error, and begin the next."""
    leases.finish(database, (job.id, job.attempt), Failed(Failure.ERROR, "no"), Usage())
    make_due(database, job.id)
    return begun(database, job.id)


def fetched(from_: Checkpoints) -> bytes | None:
    target = io.BytesIO()
    return target.getvalue() if from_.fetch(target) else None


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_the_next_attempt_has_what_was_saved_last_and_nothing_else_is_kept(
    database: Database, folder: Path, save: Save
) -> None:
    first = begun(database, added(database))
    of_first = of(first, database, folder)
    assert fetched(of_first) is None
    save(of_first, b"one")
    save(of_first, b"two")

    second = again(database, first)
    of_second = of(second, database, folder)

    assert b"two" == fetched(of_second)
    save(of_second, b"three")
    third = again(database, second)
    assert b"three" == fetched(of(third, database, folder))
    assert 1 == len(files(folder))


def test_an_attempt_that_has_lost_its_job_saves_nothing(database: Database, folder: Path, save: Save) -> None:
    first = begun(database, added(database))
    stale = of(first, database, folder)
    save(stale, b"one")
    second = again(database, first)
    save(of(second, database, folder), b"two")

    with pytest.raises(StateRefused, match="another attempt has the job"):
        save(stale, b"stale")

    assert b"two" == fetched(of(again(database, second), database, folder))
    assert 1 == len(files(folder))


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(b"two")])
def test_a_state_that_is_lost_or_damaged_is_none(
    database: Database, folder: Path, save: Save, harm: Callable[[Path], object]
) -> None:
    first = begun(database, added(database))
    save(of(first, database, folder), b"one")
    [path] = files(folder)
    harm(path)

    assert fetched(of(again(database, first), database, folder)) is None


def test_a_state_that_is_too_large_is_refused_and_the_one_before_stays(
    database: Database, folder: Path, save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "LARGEST_BYTES", 3)
    first = begun(database, added(database))
    save(of(first, database, folder), b"one")

    with pytest.raises(StateRefused, match="the state has 4 bytes of at most 3"):
        save(of(first, database, folder), b"four")

    assert b"one" == fetched(of(again(database, first), database, folder))


@pytest.mark.parametrize("saves", [True, False])
def test_what_an_only_attempt_has_saved_goes_once_its_job_has_ended(
    database: Database, folder: Path, save: Save, saves: bool
) -> None:
    job = begun(database, added(database))
    if saves:
        save(of(job, database, folder), b"one")

    leases.finish(database, (job.id, job.attempt), Succeeded(b"{}"), Usage())

    assert [(job.id, 1)] * saves == [(each.job_id, each.kept) for each in leftovers.uncollected(database)]
