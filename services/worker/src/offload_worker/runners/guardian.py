"""Outlives its worker by a moment, however that ends: ends what its children left running, and removes its folder.

A child dies with its worker by itself, asked of the kernel, but what the child had started does not.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from offload_worker.runners import family


class Guardian:
    """The worker's end: starts the guardian, which waits for the end of a pipe that only this process holds open."""

    def __init__(self, mark: str, folder: Path) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-P", "-m", "offload_worker.runners.guardian", mark, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env=family.environment(),
            start_new_session=True,  # Ctrl-C is the worker's to act on
        )

    def is_alive(self) -> bool:
        """Whether it still waits."""
        return self._process.poll() is None

    def close(self) -> None:
        """Let it do its work now, and wait until that is done."""
        assert self._process.stdin is not None  # noqa: S101 - asked for above
        self._process.stdin.close()
        self._process.wait()


def main() -> None:
    """Wait for the worker's end, then clean up after it."""
    mark, folder = sys.argv[1:]
    sys.stdin.buffer.read()
    family.kill_marked(mark)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
