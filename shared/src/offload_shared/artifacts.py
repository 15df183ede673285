"""Files that are too large for the store: uploads and what jobs leave behind, in a folder or in a bucket.

Nothing is ever whole in memory, and a file is durable here before a row of the store names it.
"""

import asyncio
import contextlib
import hashlib
import os
from collections.abc import AsyncIterable, AsyncIterator, Callable
from io import BufferedReader
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, from_url

from offload_shared import failpoints
from offload_shared.errors import ArtifactsUnavailable, SettingsInvalid
from offload_shared.failpoints import Point
from offload_shared.job import StoredFile

CHUNK_BYTES = 1024 * 1024


class Target(Protocol):
    """What bytes are written to."""

    def write(self, data: Any, /) -> object:
        """Take some bytes."""


class Artifacts:
    """The artifact storage that `url` names: `file:///folder`, or `s3://bucket/prefix` and its like.

    A bucket's credentials, region and endpoint come from its provider's usual environment variables.
    """

    def __init__(self, url: str) -> None:
        self._folder: Path | None = None
        try:
            if url.startswith("file://"):
                self._folder = Path(unquote(urlsplit(url).path))
                self._store = LocalStore(self._folder, mkdir=True, automatic_cleanup=True)
            else:
                self._store = from_url(url)  # type: ignore[assignment]
        except (BaseError, ValueError, OSError) as error:
            where = f"the artifact storage {url!r} (OFFLOAD_ARTIFACTS_URL, or else a folder in OFFLOAD_DATA_DIR)"
            raise SettingsInvalid(f"{where} cannot be used: {_sentence(error)}") from None

    async def receive(self, key: str, chunks: AsyncIterable[bytes]) -> tuple[int, str]:
        """Store what `chunks` yields under `key`; returns its size in bytes and its SHA-256.

        What `chunks` raises passes through, and nothing is stored then. Raises `ArtifactsUnavailable`.
        """
        digest, size = hashlib.sha256(), 0
        try:
            async with obstore.open_writer_async(self._store, key, buffer_size=CHUNK_BYTES * 5) as writer:
                async for chunk in chunks:
                    digest.update(chunk)
                    size += len(chunk)
                    await writer.write(chunk)
        except BaseError as error:
            raise _unavailable(key, error) from error
        except BaseException:
            await asyncio.shield(self._forget(key))  # leaving the writer has completed what had come, in a bucket
            raise
        await asyncio.to_thread(self._make_durable, key)
        return size, digest.hexdigest()

    async def _forget(self, key: str) -> None:
        with contextlib.suppress(BaseError, FileNotFoundError):
            await obstore.delete_async(self._store, key)

    async def send(self, key: str, start: int, end: int) -> AsyncIterator[bytes]:
        """Yield the bytes of `key` from `start` up to, not including, `end`; raises `ArtifactsUnavailable`."""
        if start == end:
            return
        try:
            found = await obstore.get_async(self._store, key, options={"range": (start, end)})
            async for chunk in found.stream(min_chunk_size=CHUNK_BYTES):
                yield bytes(chunk)
        except (BaseError, OSError) as error:
            raise _unavailable(key, error) from error

    def store(self, key: str, source: BufferedReader, *, name: str, media_type: str) -> StoredFile:
        """Store an open file under `key` and return what it is; raises `ArtifactsUnavailable`."""
        try:
            sha256 = hashlib.file_digest(source, "sha256").hexdigest()
            size = source.tell()
            source.seek(0)
            obstore.put(self._store, key, source)
            self._make_durable(key)
        except (BaseError, OSError) as error:
            raise _unavailable(key, error) from error
        failpoints.reached(Point.KEPT)
        return StoredFile(key=key, name=name, media_type=media_type, size=size, sha256=sha256)

    def fetch(self, key: str, target: Target) -> None:
        """Write the bytes of `key` to an open file or its like; raises `ArtifactsUnavailable`."""
        try:
            for chunk in obstore.get(self._store, key).stream(min_chunk_size=CHUNK_BYTES):
                target.write(chunk)
        except (BaseError, OSError) as error:
            raise _unavailable(key, error) from error

    def delete(self, key: str) -> None:
        """Remove `key`, if it is there; raises `ArtifactsUnavailable`."""
        try:
            obstore.delete(self._store, key)
        except FileNotFoundError:
            return
        except BaseError as error:
            raise _unavailable(key, error) from error

    def delete_all(self, prefix: str, *, but: str = "") -> None:
        """Remove whatever lies below `prefix` and not below the prefix `but`; raises `ArtifactsUnavailable`."""
        try:
            for found in obstore.list(self._store, prefix):
                for each in found:
                    if not (but and each["path"].startswith(but)):
                        self.delete(each["path"])  # another process may be at it, too
            if self._folder is not None:
                self._delete_unfinished(self._folder, prefix, but)
        except (BaseError, OSError) as error:
            raise _unavailable(prefix, error) from error

    @staticmethod
    def _delete_unfinished(root: Path, prefix: str, but: str) -> None:
        # What a killed process was still writing lies under a name of the client's own, which the client lists nowhere.
        for folder, _, names in os.walk(root / prefix, topdown=False):
            if but and f"{Path(folder).relative_to(root)}/".startswith(but):
                continue
            for name in names:
                (Path(folder) / name).unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # not empty, or another process was faster
                Path(folder).rmdir()

    def _make_durable(self, key: str) -> None:
        # A bucket is durable when it answers; a folder only once the file and its name have reached the disk.
        if self._folder is None:
            return
        for path in (self._folder / key, *list((self._folder / key).parents)[: key.count("/") + 1]):
            _sync(path)


def _sync(path: Path, fsync: Callable[[int], None] = os.fsync) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fsync(descriptor)
    finally:
        os.close(descriptor)


def _unavailable(key: str, error: Exception) -> ArtifactsUnavailable:
    return ArtifactsUnavailable(f"the artifact storage failed at {key!r}: {_sentence(error)}")


def _sentence(error: Exception) -> str:
    # What follows repeats it as the library's own data structure.
    return " ".join(str(error).partition("Debug source:")[0].split())[:500]
