"""A run is a directory that records what one test session started, so that it can be ended even without the session."""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from tests.servers.containers import remove_containers

# Not the user's own TMPDIR: servers started by root run as other users, who could not enter it.
_PARENT = Path("/tmp")
_PREFIX = "offload-tests-"
_REPOSITORY = Path(__file__).parents[2]
_KILL_LIMIT_SECONDS = 10.0


@contextmanager
def new_run() -> Iterator[Path]:
    """Make a run's directory, and end whatever is recorded there when the block ends or this process dies.

    A process of its own does the ending: it waits for its standard input to close, which the kernel does for us also
    after SIGKILL. Should it be killed too, the next run removes the abandoned one.
    """
    remove_abandoned_runs()
    run, lock = _create()
    reaper = subprocess.Popen(
        [sys.executable, "-m", "tests.servers.reaper", str(run)],
        stdin=subprocess.PIPE,
        cwd=_REPOSITORY,
        start_new_session=True,
    )
    try:
        yield run
    finally:
        reaper.communicate()
        os.close(lock)
    if reaper.returncode != 0:
        raise RuntimeError(f"removing the test servers of {run} failed with status {reaper.returncode}")


def remove_abandoned_runs() -> None:
    """Remove the runs whose sessions are gone: nobody holds the lock on their directory."""
    for run in _PARENT.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            lock = os.open(run, os.O_RDONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove_run(run)
            finally:
                os.close(lock)


def remove_run(run: Path) -> None:
    """End every process and container of a run, and remove their data."""
    for record in run.glob("*.pid"):
        with suppress(psutil.NoSuchProcess):
            kill_family(_recorded_process(record))
    remove_containers(run)
    shutil.rmtree(run, ignore_errors=True)


def record_process(record: Path, pid: int) -> None:
    record.write_text(f"{pid} {psutil.Process(pid).create_time()}")


def kill_family(process: psutil.Process) -> None:
    """Kill a process and its descendants with SIGKILL, and wait until they are gone."""
    process.suspend()  # no new child between looking and killing
    kill_members([process, *process.children(recursive=True)])


def kill_members(members: list[psutil.Process]) -> None:
    """Kill these processes, as far as they live, and wait until they are gone."""
    for member in members:
        with suppress(psutil.NoSuchProcess):
            member.kill()
    deadline = time.monotonic() + _KILL_LIMIT_SECONDS
    while any(map(_is_alive, members)) and time.monotonic() < deadline:
        time.sleep(0.01)


def _is_alive(process: psutil.Process) -> bool:
    # A zombie holds neither ports nor files, and its parent may take seconds to collect it.
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _recorded_process(record: Path) -> psutil.Process:
    pid, created = record.read_text().split()
    process = psutil.Process(int(pid))
    # The number may belong to somebody else by now; some seconds are left for an adjusted clock.
    if abs(process.create_time() - float(created)) > 5:
        raise psutil.NoSuchProcess(int(pid))
    return process


def _create() -> tuple[Path, int]:
    hidden = Path(tempfile.mkdtemp(prefix="offload-new-", dir=_PARENT))
    lock = os.open(hidden, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    hidden.chmod(0o711)
    # Named as a run only once it is locked, so that no other session takes it for an abandoned one.
    return hidden.rename(hidden.with_name(_PREFIX + hidden.name.removeprefix("offload-new-"))), lock
