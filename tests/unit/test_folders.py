"""Claims about folders that jobs wrote into."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from offload_worker.folders import OpenFolder, remove_folder


def nothing() -> None: ...


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[OpenFolder]:
    opened = OpenFolder(tmp_path / "job")
    yield opened
    opened.close()


def test_a_file_is_written_and_read(folder: OpenFolder) -> None:
    with folder.create("a") as target:
        target.write(b"content")

    source = folder.read("a", nothing)

    assert source is not None
    with source:
        assert b"content" == source.read()


def test_nothing_is_written_over_or_through_a_link(folder: OpenFolder, tmp_path: Path) -> None:
    (tmp_path / "job" / "link").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(FileExistsError):
        folder.create("link")
    assert not (tmp_path / "elsewhere").exists()


def test_what_is_no_plain_file_of_the_folder_is_not_read(folder: OpenFolder, tmp_path: Path) -> None:
    inside = tmp_path / "job"
    (tmp_path / "secret").write_text("secret")
    (inside / "link").symlink_to(tmp_path / "secret")
    (inside / "folder").mkdir()
    os.mkfifo(inside / "pipe")

    assert [None] * 4 == [folder.read(name, nothing) for name in ("link", "folder", "pipe", "nothing")]


def test_a_folder_in_its_place_is_not_taken_for_it(folder: OpenFolder, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a").write_text("secret")
    (tmp_path / "job").rename(tmp_path / "aside")
    (tmp_path / "job").symlink_to(tmp_path / "other")

    assert folder.read("a", nothing) is None


def test_a_folder_is_removed_also_where_a_job_has_locked_it(tmp_path: Path) -> None:
    inner = tmp_path / "job" / "a" / "b"
    inner.mkdir(parents=True)
    (inner / "file").write_text("x")
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o500)
    (tmp_path / "job" / "link").symlink_to(outside)
    inner.chmod(0)
    inner.parent.chmod(0)

    remove_folder(tmp_path / "job")

    assert not (tmp_path / "job").exists()
    assert 0o500 == outside.stat().st_mode & 0o777


def test_a_folder_that_was_closed_takes_no_file_whoever_has_its_descriptor_now(
    folder: OpenFolder, tmp_path: Path
) -> None:
    made = OpenFolder(tmp_path / "first")
    made.close()
    other = OpenFolder(tmp_path / "second")  # the lowest free number, which was the first one's

    with pytest.raises(FileNotFoundError):
        made.create("a")
    assert made.read("a", nothing) is None

    assert [] == list((tmp_path / "second").iterdir())
    other.close()
