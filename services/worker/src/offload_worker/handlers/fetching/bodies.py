"""What was fetched, kept in one archive: each body goes to a file of its own first, however many come at once."""

import asyncio
import hashlib
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Self

from offload_shared.errors import RequestFailed

#: Collected before they are hashed and written, on a thread: the event loop is everybody's.
PIECE_BYTES = 256 * 1024


class TooLarge(RequestFailed):
    """The body, or all of them together, is larger than was asked for: no further try would change that."""


class Budget:
    """How many bytes may still come, of all bodies together."""

    def __init__(self, total: int) -> None:
        self._left = total

    def take(self, size: int) -> None:
        """Take some; raises `TooLarge` when there are not so many left."""
        if size > self._left:
            raise TooLarge("all bodies together are larger than max_total_bytes")
        self._left -= size

    def give_back(self, size: int) -> None:
        """Give back what a try took that failed."""
        self._left += size


class Received:
    """A body while it comes: its size, its hash, and where its bytes are, if they are kept."""

    def __init__(self, path: Path | None, *, most: int, budget: Budget) -> None:
        self.path = path
        self.size = 0
        self._most = most
        self._budget = budget
        self._hash = hashlib.sha256()
        self._file = path.open("wb") if path else None

    async def take(self, pieces: AsyncIterator[bytes]) -> None:
        """Take a body; raises `TooLarge`, and what reading it raises."""
        buffer = bytearray()
        async for piece in pieces:
            self._budget.take(len(piece))
            self.size += len(piece)
            if self.size > self._most:
                raise TooLarge(f"the body is larger than {self._most:,} bytes")
            buffer += piece
            if len(buffer) >= PIECE_BYTES:
                await asyncio.to_thread(self._write, bytes(buffer))
                buffer.clear()
        if buffer:
            await asyncio.to_thread(self._write, bytes(buffer))

    def _write(self, content: bytes) -> None:
        self._hash.update(content)
        if self._file:
            self._file.write(content)

    @property
    def sha256(self) -> str:
        """The hash of what has come."""
        return self._hash.hexdigest()

    def drop(self) -> None:
        """Let go of what has come."""
        self._budget.give_back(self.size)
        self.close()
        if self.path:
            self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close its file."""
        if self._file:
            self._file.close()


class Archive:
    """A zip archive, of names that are ours; bodies are stored as they are, since most are compressed already."""

    def __init__(self, path: Path) -> None:
        self._folder = path.parent
        self._zip = zipfile.ZipFile(path, "w", zipfile.ZIP_STORED)
        self._turn = asyncio.Lock()

    def place(self, number: int) -> Path:
        """Return where a body may lie until it is in the archive."""
        return self._folder / f".body-{number}"

    async def add(self, received: Received, name: str) -> None:
        """Move a body that has come into the archive."""
        assert received.path  # noqa: S101 - it was given one
        received.close()
        async with self._turn:
            await asyncio.to_thread(self._zip.write, received.path, name)
        received.path.unlink()

    async def __aenter__(self) -> Self:
        """Open it."""
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        """Write its directory."""
        self._zip.close()
