"""Failpoints themselves: what arms one, what does not, and that each fires once."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from offload_shared import failpoints
from offload_shared.errors import CommitUnknown, StoreUnavailable
from offload_shared.failpoints import Injected, Point
from offload_shared.store import cancelling, hints, jobs, leases, recovery, releases, schedules
from offload_shared.store.database import Database
from offload_shared.store.migrate import migrate
from tests.jobs import new_job


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    with mock.patch.object(failpoints, "_folder", None):
        failpoints.arm(str(tmp_path))
        yield tmp_path


def test_without_a_folder_nothing_is_armed() -> None:
    failpoints.arm("")

    assert not failpoints.reached(Point.STARTED)


def test_an_armed_point_fires_once(folder: Path) -> None:
    (folder / "started").write_text("raise")

    with pytest.raises(Injected, match="started"):
        failpoints.reached(Point.STARTED)

    assert not failpoints.reached(Point.STARTED)
    assert ["started.fired"] == [path.name for path in folder.iterdir()]


def test_a_lost_answer_is_told_of_where_nothing_can_be_raised(folder: Path) -> None:
    (folder / "confirming").write_text("lose")

    assert failpoints.reached(Point.CONFIRMING)


@pytest.mark.parametrize(
    ("point", "action", "error"),
    [
        ("add.inside", "raise", StoreUnavailable),
        ("add.inside", "lose", CommitUnknown),
        ("add.committed", "raise", Injected),
        ("add.committed", "lose", CommitUnknown),
    ],
)
def test_a_write_fails_as_the_store_would_and_is_kept_only_once_committed(
    folder: Path, tmp_path: Path, point: str, action: str, error: type[Exception]
) -> None:
    database = Database(f"sqlite:///{tmp_path}/store/offload.db")
    migrate(database)
    job = new_job()
    (folder / point).write_text(action)

    with pytest.raises(error):
        jobs.add(database, [job])

    assert (jobs.get(database, job.id) is not None) == point.endswith("committed")
    database.dispose()


def test_every_point_of_a_write_is_named_by_a_verb_of_the_store() -> None:
    verbs = {
        name for module in (cancelling, hints, jobs, leases, recovery, releases, schedules) for name in vars(module)
    }

    assert {point.value.partition(".")[0] for point in Point if "." in point.value} <= verbs


@pytest.mark.parametrize("command", ["offload-api", "offload-worker"])
@pytest.mark.parametrize(("point", "action"), [("nowhere", "kill"), ("started", "explode")])
def test_an_unknown_point_or_action_stops_the_start_with_one_sentence(
    tmp_path: Path, command: str, point: str, action: str
) -> None:
    (tmp_path / point).write_text(action)
    environment = {"OFFLOAD_FAILPOINTS": str(tmp_path), "OFFLOAD_DATA_DIR": str(tmp_path)}

    ended = subprocess.run(
        [Path(sys.executable).with_name(command)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert 1 == ended.returncode
    assert ended.stderr.startswith(f"{command}: OFFLOAD_FAILPOINTS is '{tmp_path}': ")
    assert 1 == ended.stderr.count("\n")
