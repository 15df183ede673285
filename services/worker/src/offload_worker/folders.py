"""Folders that jobs wrote into: removed whatever a job did to them, and read without being led astray."""

import errno
import os
import shutil
import stat
import threading
from collections.abc import Callable
from io import BufferedReader, BufferedWriter, FileIO
from pathlib import Path
from typing import Any

PIECE_BYTES = 1024 * 1024
CLOSED = -1


def remove_folder(folder: Path) -> None:
    """Remove a folder with all that is in it, also what a job has locked; what cannot be removed stays."""
    try:
        shutil.rmtree(folder)
    except OSError:
        _unlock(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _unlock(folder: Path) -> None:
    for parent, names, _ in os.walk(folder):
        for name in names:
            inner = Path(parent, name)
            if not inner.is_symlink() and not os.access(inner, os.R_OK | os.W_OK | os.X_OK):
                inner.chmod(stat.S_IRWXU)  # before the walk goes there


class _CheckedFile(FileIO):
    def __init__(self, descriptor: int, check: Callable[[], object]) -> None:
        super().__init__(descriptor, "rb")
        self._check = check

    def readinto(self, buffer: Any) -> int | None:
        self._check()
        return super().readinto(buffer)


class OpenFolder:
    """A folder held open: what a job puts in its place, or links to from inside, is never followed."""

    def __init__(self, path: Path) -> None:
        path.mkdir()
        self._descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        self._device = os.fstat(self._descriptor).st_dev
        self._turn = threading.Lock()

    def read(self, name: str, check: Callable[[], object]) -> BufferedReader | None:
        """Open a file in the folder; None when there is none, or it is anything but a plain file of its own.

        `check` is called before each piece is read.
        """
        try:
            # Not waiting for the other end of a pipe that bears the name.
            opened = self._open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return None
        found = os.fstat(opened)
        if stat.S_ISREG(found.st_mode) and found.st_dev == self._device:
            return BufferedReader(_CheckedFile(opened, check), buffer_size=PIECE_BYTES)
        os.close(opened)
        return None

    def create(self, name: str) -> BufferedWriter:
        """Open a new file in the folder for writing; raises `OSError`, also when something has that name."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        return os.fdopen(self._open(name, flags), "wb")

    def _open(self, name: str, flags: int) -> int:
        # A thread that a handler has left behind may come after the end: the number could be another folder's by then.
        with self._turn:
            if self._descriptor == CLOSED:
                raise FileNotFoundError(errno.ENOENT, "the job's folder is gone", name)
            return os.open(name, flags, mode=0o600, dir_fd=self._descriptor)

    def close(self) -> None:
        """Let go of it."""
        with self._turn:
            os.close(self._descriptor)
            self._descriptor = CLOSED
