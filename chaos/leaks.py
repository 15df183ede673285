"""What is left of our processes once they have ended: it has to be nothing."""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from chaos.store import StoreReader

PATIENCE_SECONDS = 15.0
#: All jobs have ended: a hundred of them are collected each time an API sweeps, every two seconds or sooner.
COLLECTION_SECONDS = 120.0


def left_over(folder: Path) -> list[str]:
    """Return the processes and temporary files of a run that are still there, after giving them time to go."""
    ends = time.monotonic() + PATIENCE_SECONDS
    while (found := [*_processes(folder), *_files(folder)]) and time.monotonic() < ends:
        time.sleep(0.2)
    return found


def unnamed_artifacts(folder: Path, store: StoreReader) -> list[str]:
    """Return the files in the artifact storage that no row names, after giving the APIs time to collect them."""
    root = folder / "disk" / "artifacts"
    ends = time.monotonic() + COLLECTION_SECONDS
    while found := _unnamed(root, store):
        if time.monotonic() > ends:
            return [f"artifact that no row names: {key}" for key in found]
        time.sleep(0.5)
    return []


def _unnamed(root: Path, store: StoreReader) -> list[str]:
    # Not by a glob, which fails over a folder that is removed meanwhile; the files first, since rows come after them.
    paths = [Path(at, name) for at, _, names in os.walk(root) for name in names]
    named = {artifact.key for artifact in store.rows().artifacts} if paths else set()
    return sorted({str(path.relative_to(root)) for path in paths} - named)


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
