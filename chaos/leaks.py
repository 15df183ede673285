"""What is left of our processes once they have ended: it has to be nothing."""

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from chaos.store import Rows

PATIENCE_SECONDS = 15.0


def left_over(folder: Path) -> list[str]:
    """Return the processes and temporary files of a run that are still there, after giving them time to go."""
    ends = time.monotonic() + PATIENCE_SECONDS
    while (found := [*_processes(folder), *_files(folder)]) and time.monotonic() < ends:
        time.sleep(0.2)
    return found


def unnamed_artifacts(folder: Path, rows: Rows) -> list[str]:
    """Return the files in the artifact storage that no row names."""
    root = folder / "disk" / "artifacts"
    named = {artifact.key for artifact in rows.artifacts}
    files = [str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()]
    return sorted(set(files) - named)


def _processes(folder: Path) -> Iterator[str]:
    # Whatever a process of ours starts inherits a temporary folder of this run, or names one in its command.
    mark = str(folder)
    own = psutil.Process()
    spared = {own.pid, *(parent.pid for parent in own.parents())}
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid in spared or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if any(mark in place for place in [*process.cmdline(), *process.environ().values()]):
                yield f"process {process.pid}: {' '.join(process.cmdline())[:150]}"


def _files(folder: Path) -> Iterator[str]:
    for path in (folder / "tmp").iterdir():
        yield f"temporary file {path.name}"
