"""Outlives its worker by a moment, however that ends: ends what its children left running, and removes its folder.

A child dies with its worker by itself, asked of the kernel, but what the child had started does not.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

from offload_worker.folders import remove_folder
from offload_worker.runners import family

#: For the guardian to clean up, at the worker's orderly end.
CLOSE_SECONDS = 10.0


class Guardian:
    """The worker's end: starts the guardian, which waits for a word from this process, or for its end."""

    def __init__(self, mark: str, folder: Path) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-P", "-m", "offload_worker.runners.guardian", str(os.getpid()), mark, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env=family.environment(),
            start_new_session=True,  # Ctrl-C is the worker's to act on
        )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def is_alive(self) -> bool:
        """Whether it still waits."""
        return self._process.poll() is None

    def close(self) -> None:
        """Let it do its work now, and wait until that is done."""
        assert self._process.stdin is not None  # noqa: S101 - asked for above
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            # A word, as the pipe's mere end would not do: a handler on a thread may have forked, and hold it open.
            self._process.stdin.write(b".")
            self._process.stdin.close()
            self._process.wait(CLOSE_SECONDS)


def main() -> None:
    """Wait for the worker's end, then clean up after it."""
    worker, mark, folder = sys.argv[1:]
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # sent to all processes of a service at once, they are the worker's
    _wait_for(int(worker))
    family.kill_marked(mark)
    remove_folder(Path(folder))


def _wait_for(worker: int) -> None:
    waited_for: list[int] = [sys.stdin.fileno()]
    with contextlib.suppress(OSError, AttributeError):  # an older kernel, or another system
        waited_for.append(os.pidfd_open(worker))
    if os.getppid() == worker:
        select.select(waited_for, [], [])


if __name__ == "__main__":
    main()
