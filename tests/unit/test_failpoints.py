"""Arming failpoints: what a process does with the folder that it is given."""

from pathlib import Path

import pytest

from offload_shared import failpoints
from offload_shared.errors import SettingsInvalid
from offload_shared.failpoints import Point


@pytest.fixture(autouse=True)
def _unarmed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failpoints, "_folder", None)


def test_a_process_starts_while_another_comes_to_an_armed_point(tmp_path: Path) -> None:
    # Listed, and gone when it is read: what is left of a file that another process has renamed in between.
    (tmp_path / Point.ACCEPTED.value).symlink_to(tmp_path / "nothing")

    failpoints.arm(str(tmp_path))


@pytest.mark.parametrize(("name", "action"), [("nowhere", "kill"), ("accepted", "explode")])
def test_an_unknown_point_or_action_stops_the_start_with_a_sentence(tmp_path: Path, name: str, action: str) -> None:
    (tmp_path / name).write_text(action)

    with pytest.raises(SettingsInvalid, match="OFFLOAD_FAILPOINTS"):
        failpoints.arm(str(tmp_path))


def test_a_folder_that_does_not_exist_stops_the_start_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="No such file"):
        failpoints.arm(str(tmp_path / "absent"))


def test_a_point_that_is_not_armed_does_nothing(tmp_path: Path) -> None:
    failpoints.arm(str(tmp_path))

    assert failpoints.reached(Point.ACCEPTED) is False


def test_an_armed_point_acts_once(tmp_path: Path) -> None:
    (tmp_path / Point.ACCEPTED.value).write_text("lose")
    failpoints.arm(str(tmp_path))

    assert [True, False] == [failpoints.reached(Point.ACCEPTED) for _ in range(2)]
