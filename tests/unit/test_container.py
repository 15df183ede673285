"""What a worker finds out about its container's memory."""

from pathlib import Path

import psutil
import pytest

from offload_worker import container
from offload_worker.runners.family import MEGABYTE


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree of control groups of which this process is in /service/worker."""
    own = tmp_path / "own"
    own.write_text("0::/service/worker\n")
    monkeypatch.setattr(container, "OWN_GROUPS", own)
    monkeypatch.setattr(container, "ROOTS", (tmp_path,))
    (tmp_path / "service" / "worker").mkdir(parents=True)
    return tmp_path


def test_without_a_limit_the_machine_is_the_limit(groups: Path) -> None:
    (groups / "service" / "worker" / "memory.max").write_text("max\n")

    assert psutil.virtual_memory().total // MEGABYTE == container.memory_mb()


@pytest.mark.parametrize("group", ["", "service", "service/worker"])
@pytest.mark.parametrize("name", ["memory.max", "memory.limit_in_bytes"])
def test_the_limit_of_any_group_around_the_worker_holds(groups: Path, group: str, name: str) -> None:
    (groups / "service" / "worker" / "memory.max").write_text("max\n")
    (groups / group / name).write_text(f"{100 * MEGABYTE}\n")

    assert 100 == container.memory_mb()


def test_the_kernels_kills_are_read_from_the_group_that_is_nearest(groups: Path) -> None:
    (groups / "memory.events").write_text("oom 9\noom_kill 9\n")
    assert 9 == container.memory_kills()

    (groups / "service" / "worker" / "memory.events").write_text("low 0\noom 2\noom_kill 1\noom_group_kill 0\n")
    assert 1 == container.memory_kills()


def test_where_no_groups_are_found_no_kills_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "OWN_GROUPS", tmp_path / "absent")
    monkeypatch.setattr(container, "ROOTS", (tmp_path,))

    assert 0 == container.memory_kills()
