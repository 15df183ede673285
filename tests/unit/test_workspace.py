"""What a job may leave behind in its folder."""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from offload_shared.artifacts import Artifacts
from offload_shared.store.database import Database
from offload_worker.workspace import MOST_ARTIFACTS, ArtifactRefused, Workspace
from tests.unit.test_running import attempt

NO_DATABASE = cast("Database", None)
FULL = [f"{number}.txt" for number in range(MOST_ARTIFACTS)]


def nothing() -> None: ...


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Workspace]:
    """A workspace in which as many artifacts are named and written as a job can leave."""
    folder = tmp_path / "job"
    folder.mkdir()
    made = Workspace(folder, attempt().job, NO_DATABASE, Artifacts((tmp_path / "artifacts").as_uri()))
    for name in FULL:
        made.artifact(name, "text/plain").write_text(name)
    yield made
    made.close()


def test_a_name_too_many_is_refused_and_forgotten(space: Workspace) -> None:
    with pytest.raises(ArtifactRefused):
        space.artifact("more.txt", "text/plain")

    assert sorted(FULL) == [stored.name for stored in space.keep(nothing)]


def test_a_name_told_again_is_none_too_many(space: Workspace) -> None:
    space.artifact(FULL[0], "text/csv")

    assert "text/csv" == space.keep(nothing)[0].media_type
