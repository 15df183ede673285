"""The state that attempts of a job save: a file in the artifact storage, named by the job's row."""

import hashlib
import logging
import os
from io import BufferedReader
from typing import Any

import msgspec

from offload_shared.artifacts import Artifacts, Target
from offload_shared.errors import ArtifactsUnavailable, OffloadError
from offload_shared.job import ClaimedJob, StoredFile
from offload_shared.store import checkpoints
from offload_shared.store.database import Database

LARGEST_BYTES = 64 * 1024 * 1024
MEDIA_TYPE = "application/octet-stream"

_log = logging.getLogger(__name__)


class StateRefused(OffloadError):  # noqa: N818
    """What the handler wants to save cannot be kept."""


class Checkpoints:
    """What attempts of one job have saved, and save; called from one thread at a time."""

    def __init__(self, job: ClaimedJob, database: Database, artifacts: Artifacts) -> None:
        self._job = job
        self._database = database
        self._artifacts = artifacts
        self._last = msgspec.json.decode(job.checkpoint, type=StoredFile) if job.checkpoint else None
        self._number = 0

    def save(self, source: BufferedReader) -> None:
        """Keep the content of an open file in the place of what was saved before.

        Raises `StateRefused`, `ArtifactsUnavailable`, `StoreUnavailable`.
        """
        size = os.fstat(source.fileno()).st_size
        if size > LARGEST_BYTES:
            raise StateRefused(f"the state has {size} bytes of at most {LARGEST_BYTES}")
        self._number += 1
        name = f"{self._job.attempt}-{self._number}"
        stored = self._artifacts.store(f"jobs/{self._job.id}/state/{name}", source, name=name, media_type=MEDIA_TYPE)
        if not checkpoints.save(self._database, (self._job.id, self._job.attempt), stored):
            self._forget(stored)
            raise StateRefused("another attempt has the job")
        if self._last is not None:
            self._forget(self._last)
        self._last = stored

    def fetch(self, target: Target) -> bool:
        """Write what was saved last to an open file; returns whether it is there, as a whole."""
        if self._last is None:
            return False
        digesting = _Digesting(target)
        try:
            self._artifacts.fetch(self._last.key, digesting)
        except ArtifactsUnavailable as error:
            _log.warning("job %s: its saved state is lost, and it begins anew: %s", self._job.id, error)
            return False
        if digesting.digest.hexdigest() != self._last.sha256:
            _log.warning("job %s: its saved state is damaged, and it begins anew", self._job.id)
            return False
        return True

    def _forget(self, stored: StoredFile) -> None:
        # What is left behind goes with the job's other files once it has ended.
        try:
            self._artifacts.delete(stored.key)
        except ArtifactsUnavailable as error:
            _log.warning("job %s: the state %s is left behind: %s", self._job.id, stored.key, error)


class _Digesting:
    def __init__(self, target: Target) -> None:
        self._target = target
        self.digest = hashlib.sha256()

    def write(self, data: Any) -> None:
        self.digest.update(data)
        self._target.write(data)
