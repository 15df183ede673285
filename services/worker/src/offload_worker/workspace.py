"""An attempt's own folder: the files it asked for, and those it leaves behind."""

import logging
import re
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from offload_shared.artifacts import Artifacts
from offload_shared.errors import ArtifactsUnavailable, OffloadError
from offload_shared.job import ClaimedJob, StoredFile
from offload_shared.store import files
from offload_shared.store.database import Database
from offload_worker.checkpoints import Checkpoints, StateRefused
from offload_worker.folders import OpenFolder, remove_folder
from offload_worker.handle import JobRejected

MOST_ARTIFACTS = 100
#: No artifact has this name.
STATE = ".state"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_MEDIA_TYPE = re.compile(r"[\w.+-]{1,100}/[\w.+-]{1,100}(; ?[\w.+=-]{1,50})?")


_log = logging.getLogger(__name__)


class ArtifactRefused(OffloadError):  # noqa: N818
    """The handler's artifact cannot be kept: its name, its kind or its number."""


class WorkerUnable(OffloadError):  # noqa: N818
    """The worker cannot run the job, whatever the job is; another one may."""


class Workspace:
    """The folder of one attempt, and the only way from it to the artifact storage."""

    def __init__(self, folder: Path, job: ClaimedJob, database: Database, artifacts: Artifacts) -> None:
        self.folder = folder
        self._job = job
        self._database = database
        self._artifacts = artifacts
        self._checkpoints = Checkpoints(job, database, artifacts)
        self._states = 0  # fetched
        self._made: dict[str, str] = {}  # media types by name
        self._fetched: set[str] = set()
        self._fetching = threading.Lock()
        self._inputs = OpenFolder(folder / "inputs")
        self._outputs = OpenFolder(folder / "artifacts")

    def file(self, file_id: str) -> Path:
        """Fetch an uploaded file; raises `JobRejected` when the job's tenant has none of that id."""
        stored = files.get_file(self._database, file_id, tenant=self._job.tenant)
        if stored is None:
            msg = f"there is no file {file_id!r}; upload it first, then submit the job with its id"
            raise JobRejected(msg)
        return self._fetch(stored, file_id)

    def artifact_of(self, job_id: str, name: str) -> Path:
        """Fetch what an earlier job left behind; raises `JobRejected` when the tenant has no such job or artifact."""
        stored = files.get_artifact(self._database, job_id, name, tenant=self._job.tenant)
        if stored is None:
            msg = f"there is no artifact {name!r} of a job {job_id!r}; only a job that has succeeded has artifacts"
            raise JobRejected(msg)
        return self._fetch(stored, f"{job_id}-{stored.name}")

    def _fetch(self, stored: StoredFile, name: str) -> Path:
        with self._fetching:  # a coroutine may ask for one file on several threads
            if name not in self._fetched:
                with self._inputs.create(name) as target:
                    self._artifacts.fetch(stored.key, target)
                self._fetched.add(name)
        return self.folder / "inputs" / name

    @property
    def state(self) -> Path:
        """Where a handler writes the state that it wants to save."""
        return state_file(self.folder)

    def save(self) -> None:
        """Keep the state that was written; raises `StateRefused`, `ArtifactsUnavailable`, `StoreUnavailable`."""
        source = self._outputs.read(STATE, lambda: None)
        if source is None:
            raise StateRefused("the state was not written")
        with source:
            self._checkpoints.save(source)

    def saved(self) -> Path | None:
        """Fetch what an attempt of the job has saved last, and return where it lies; None when there is nothing."""
        self._states += 1
        name = f"{STATE}-{self._states}"
        with self._inputs.create(name) as target:
            there = self._checkpoints.fetch(target)
        return self.folder / "inputs" / name if there else None

    def artifact(self, name: str, media_type: str) -> Path:
        """Name an artifact and return where to write it; raises `ArtifactRefused`."""
        if not _NAME.fullmatch(name) or not _MEDIA_TYPE.fullmatch(media_type):
            raise ArtifactRefused(f"an artifact cannot be named {name!r} with the media type {media_type!r}")
        if name not in self._made and len(self._made) == MOST_ARTIFACTS:
            raise ArtifactRefused(f"a job can leave {MOST_ARTIFACTS} artifacts, not more")
        self._made[name] = media_type
        return self.folder / "artifacts" / name

    def keep(self, check: Callable[[], object]) -> tuple[StoredFile, ...]:
        """Store the named artifacts and return what they are, or store none.

        `check` is called before each piece; what it raises passes through. Raises `ArtifactRefused`,
        `ArtifactsUnavailable`.
        """
        kept: list[StoredFile] = []
        try:
            for name, media_type in sorted(self._made.items()):
                kept.append(self._keep(name, media_type, check))
        except BaseException:
            self.forget(kept)
            raise
        return tuple(kept)

    def _keep(self, name: str, media_type: str, check: Callable[[], object]) -> StoredFile:
        source = self._outputs.read(name, check)
        if source is None:
            raise ArtifactRefused(f"the artifact {name!r} was named, but is not a file")
        with source:
            key = f"jobs/{self._job.id}/{self._job.attempt}/{name}"
            return self._artifacts.store(key, source, name=name, media_type=media_type)

    def forget(self, stored: Iterable[StoredFile]) -> None:
        """Remove artifacts that no row will name, as far as their storage lets itself be reached."""
        for each in stored:
            try:
                self._artifacts.delete(each.key)
            except ArtifactsUnavailable as error:
                _log.warning("job %s: the artifact %s is left behind: %s", self._job.id, each.key, error)

    def close(self) -> None:
        """Let go of the folder."""
        self._inputs.close()
        self._outputs.close()


def state_file(folder: Path) -> Path:
    """Return where a handler whose attempt has this folder writes the state that it wants to save."""
    return folder / "artifacts" / STATE


@contextmanager
def workspace(root: Path, job: ClaimedJob, database: Database, artifacts: Artifacts) -> Iterator[Workspace]:
    """Make an attempt's folder in `root`, and remove it with all that is in it afterwards; raises `WorkerUnable`."""
    with ExitStack() as cleanup:
        try:
            root.mkdir(mode=0o700, exist_ok=True)  # what tidies temporary folders may have taken it
            folder = Path(tempfile.mkdtemp(prefix=f"{job.id[-12:]}-{job.attempt}-", dir=root))
            cleanup.callback(remove_folder, folder)
            made = Workspace(folder, job, database, artifacts)
            cleanup.callback(made.close)
        except OSError as error:
            raise WorkerUnable(f"no folder for a job can be made in {str(root)!r}: {error.strerror}") from None
        yield made
