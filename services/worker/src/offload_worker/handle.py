"""What a handler sees of its job, the same wherever it runs."""

from pathlib import Path
from typing import Protocol


class JobRejected(Exception):  # noqa: N818
    """The job's input cannot be worked on, however often it is tried; the message tells the client what to change."""


class JobStopped(Exception):  # noqa: N818
    """The job was cancelled, ran out of time or is wanted elsewhere; let it pass through your handler."""


class JobHandle(Protocol):
    """A handler's second argument: how it reports, and how it reaches files."""

    @property
    def id(self) -> str:
        """The job's id; with `attempt` a token for making effects outside idempotent."""

    @property
    def attempt(self) -> int:
        """1 for the first attempt, raised by one with each further one."""

    def progress(self, percent: float, message: str = "") -> None:
        """Tell the client how far the job is, 0 to 100; cheap enough to call often."""

    def log(self, message: str) -> None:
        """Add a line to the job's output, which also gets whatever the handler prints, and logs by `logging`."""

    def check_cancelled(self) -> None:
        """Raise `JobStopped` when the job was cancelled or is out of time; a process needs no such checkpoint."""

    def file(self, file_id: str) -> Path:
        """Fetch an uploaded file and return where it lies; raises `JobRejected` when there is none of that id."""

    def artifact_of(self, job_id: str, name: str) -> Path:
        """Fetch what an earlier job left behind and return where it lies; raises `JobRejected` when there is none."""

    def save(self, state: bytes) -> None:
        """Keep what the next attempt can go on from, should this one not come to its end; at most 64 MB.

        It takes the place of what was saved before, also by an earlier attempt, once it is stored: whatever is killed
        meanwhile, one of the two is there. Takes a write to the artifact storage and one to the store, so save every
        few seconds at most. Raises `OSError` when it cannot be kept.
        """

    def saved(self) -> bytes | None:
        """Return what an attempt of this job has saved last; None when none has, or when it cannot be read."""

    def artifact(self, name: str, media_type: str) -> Path:
        """Name a file the job leaves behind and return where to write it; it is stored when the job succeeds."""
