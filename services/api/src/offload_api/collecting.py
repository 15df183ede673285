"""Removes the files of jobs that are gone; on every API process, with no leader."""

import logging

from offload_shared.artifacts import Artifacts
from offload_shared.errors import ArtifactsUnavailable, StoreUnavailable
from offload_shared.store import deletion
from offload_shared.store.database import Database

_log = logging.getLogger(__name__)


class Collector:
    """Collects each time it is told to; what cannot be removed now is tried again with the next."""

    def __init__(self, database: Database, artifacts: Artifacts) -> None:
        self._database = database
        self._artifacts = artifacts
        self._failing = False

    def collect(self) -> None:
        """Remove what is left of jobs that are gone, of all their attempts."""
        try:
            while job_ids := deletion.uncollected(self._database):
                for job_id in job_ids:
                    self._artifacts.delete_all(f"jobs/{job_id}/")
                deletion.note_collected(self._database, job_ids)
        except (ArtifactsUnavailable, StoreUnavailable) as error:
            if not self._failing:
                _log.warning("the files of jobs that are gone cannot be removed now: %s", error)
            self._failing = True
        else:
            self._failing = False
