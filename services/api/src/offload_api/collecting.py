"""Lets jobs go whose time is over, and removes files that nobody names; on any API process, with no leader."""

import logging
import threading

from offload_shared.artifacts import Artifacts
from offload_shared.errors import ArtifactsUnavailable
from offload_shared.store import deletion, leftovers
from offload_shared.store.database import Database
from offload_shared.store.leftovers import Uncollected

#: Of jobs that go at once.
MOST_BATCHES = 5
#: In one go, after which the storage is left alone for a while.
MOST_FAILURES = 3

_log = logging.getLogger(__name__)


class Collector:
    """Collects some each time it is told to; what cannot be removed now is tried again later."""

    def __init__(self, database: Database, artifacts: Artifacts) -> None:
        self._database = database
        self._artifacts = artifacts
        self._ended = threading.Event()
        self._failing = False

    def collect(self) -> None:
        """Let some jobs go whose time is over, and remove files of attempts.

        Those are all files of a job that is gone, and of one that has ended what its unsuccessful attempts have left.
        Raises `StoreUnavailable`.
        """
        for _ in range(MOST_BATCHES):
            if not deletion.expire(self._database):
                break
        deletion.forget(self._database)
        collected, failed = list[Uncollected](), list[Uncollected]()
        for job in leftovers.uncollected(self._database):
            if self._ended.is_set() or len(failed) == MOST_FAILURES:
                break
            try:
                self._remove_files(job)
            except ArtifactsUnavailable as error:
                failed.append(job)
                if not self._failing:
                    _log.warning("files that nobody names cannot be removed now: %s", error)
                self._failing = True
            else:
                collected.append(job)
        if collected:
            leftovers.note_collected(self._database, collected)
            self._failing = bool(failed)
        if failed:  # these alone, it may be: all others have their turn before they have theirs again
            leftovers.put_off(self._database, failed)

    def _remove_files(self, job: Uncollected) -> None:
        files = f"jobs/{job.job_id}/"
        # By the attempt rather than by the names that rows hold: a mistake in a name would cost a client its file.
        self._artifacts.delete_all(files, but=f"{files}{job.kept}/" if job.kept else "")

    def end(self) -> None:
        """Let what is under way come to its end soon."""
        self._ended.set()
