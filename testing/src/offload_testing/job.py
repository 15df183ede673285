"""A job without a worker: a handler's second argument, over a folder."""

from dataclasses import dataclass, field
from pathlib import Path

from offload_worker.handle import JobRejected, JobStopped


@dataclass
class FakeJob:
    """A `JobHandle` whose files and artifacts lie in `folder`, and which remembers what it was told.

    Set `cancelled`, and `check_cancelled` raises `JobStopped`.
    """

    folder: Path
    id: str = "0" * 32
    attempt: int = 1
    reports: list[tuple[float, str]] = field(default_factory=list)
    artifacts: dict[str, str] = field(default_factory=dict)  # the media type by name
    lines: list[str] = field(default_factory=list)
    states: list[bytes] = field(default_factory=list)  # saved, the last one last
    cancelled: bool = False

    def upload(self, file_id: str, content: bytes) -> str:
        """Store a file as a client would have, and return its id."""
        (self.folder / file_id).write_bytes(content)
        return file_id

    def progress(self, percent: float, message: str = "") -> None:
        """Remember how far the handler says it is."""
        self.reports.append((percent, message))

    def log(self, message: str) -> None:
        """Remember a line of output."""
        self.lines.append(message)

    def save(self, state: bytes) -> None:
        """Remember a state."""
        self.states.append(state)

    def saved(self) -> bytes | None:
        """Return the state that was saved last."""
        return self.states[-1] if self.states else None

    def check_cancelled(self) -> None:
        """Raise `JobStopped` where the test wants that."""
        if self.cancelled:
            raise JobStopped("cancelled")

    def file(self, file_id: str) -> Path:
        """Return where an uploaded file lies; raises `JobRejected`."""
        path = self.folder / file_id
        if not path.exists():
            raise JobRejected(f"there is no file {file_id}")
        return path

    def artifact_of(self, job_id: str, name: str) -> Path:
        """Return where an earlier job's artifact lies, `<job_id>-<name>`; raises `JobRejected`."""
        path = self.folder / f"{job_id}-{name}"
        if not path.exists():
            raise JobRejected(f"there is no artifact {name} of a job {job_id}")
        return path

    def artifact(self, name: str, media_type: str) -> Path:
        """Return where to write an artifact."""
        self.artifacts[name] = media_type
        return self.folder / name
