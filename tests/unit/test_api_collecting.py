"""Which files are removed when: by a storage that the test plays, on SQLite."""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from offload_api.collecting import MOST_FAILURES, Collector
from offload_shared.artifacts import Artifacts
from offload_shared.errors import ArtifactsUnavailable
from offload_shared.job import Failed, Failure, Succeeded, Usage
from offload_shared.store import deletion, leases, leftovers
from offload_shared.store.database import Database
from offload_shared.store.migrate import migrate
from tests.jobs import running


class Storage:
    """Removes files, but for those of jobs that it is to fail at."""

    def __init__(self) -> None:
        self.failing = set[str]()
        self.removed = list[str]()

    def delete_all(self, prefix: str, *, but: str = "") -> None:
        job_id = prefix.split("/")[1]
        if job_id in self.failing:
            raise ArtifactsUnavailable(f"cannot remove {prefix}")
        self.removed.append(job_id)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(f"sqlite:///{tmp_path / 'offload.db'}")
    migrate(opened)
    yield opened
    opened.dispose()


def deleted(database: Database) -> str:
    """Return a job that is gone."""
    lease = running(database)
    leases.finish(database, lease, Succeeded(b"{}"), Usage())
    deletion.delete_job(database, lease[0])
    return lease[0]


def failed(database: Database) -> str:
    """Return a job that has ended and may have left files."""
    lease = running(database)
    leases.finish(database, lease, Failed(Failure.REJECTED, "no"), Usage())
    return lease[0]


def test_files_that_cannot_be_removed_hold_up_no_others(database: Database) -> None:
    storage = Storage()
    collector = Collector(database, cast("Artifacts", storage))
    storage.failing = {make(database) for _ in range(MOST_FAILURES) for make in (deleted, failed)}
    others = {make(database) for _ in range(5) for make in (deleted, failed)}

    for _ in range(3):
        collector.collect()

    assert others == set(storage.removed)
    assert storage.failing == {each.job_id for each in leftovers.uncollected(database)}
    storage.failing.clear()
    collector.collect()
    assert [] == leftovers.uncollected(database)


def test_a_storage_that_is_away_is_left_alone_after_some_failures(database: Database) -> None:
    class Away(Storage):
        def delete_all(self, prefix: str, *, but: str = "") -> None:
            self.removed.append(prefix)
            raise ArtifactsUnavailable("away")

    storage = Away()
    for _ in range(2 * MOST_FAILURES):
        deleted(database)

    Collector(database, cast("Artifacts", storage)).collect()

    assert MOST_FAILURES == len(storage.removed)
    assert 2 * MOST_FAILURES == len(leftovers.uncollected(database))
