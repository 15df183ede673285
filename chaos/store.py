"""Reads the store past everything of ours: rows as they are, for the checker."""

from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection, create_engine, select, text
from sqlalchemy.engine import Row

from offload_shared.store.clock import now
from offload_shared.store.schema import artifact, attempt, job


class JobRow(msgspec.Struct, frozen=True, kw_only=True):
    """A job; times are seconds since the epoch."""

    id: str
    task: str
    payload: str
    state: str
    version: int
    attempt: int
    created_at: float
    idempotency_key: str | None = None
    schedule_id: str | None = None
    errors: int = 0
    losses: int = 0
    max_attempts: int = 5
    failure: str | None = None
    run_at: float = 0.0
    deadline_at: float | None = None
    finished_at: float | None = None
    cancel_requested: bool = False


class AttemptRow(msgspec.Struct, frozen=True, kw_only=True):
    """An ended attempt."""

    job_id: str
    number: int
    outcome: str
    started_at: float
    finished_at: float
    failure: str | None = None
    detail: str | None = None
    worker: str = ""
    result: str | None = None


class ArtifactRow(msgspec.Struct, frozen=True, kw_only=True):
    """A file that a job left behind."""

    job_id: str
    name: str
    key: str
    sha256: str


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """All that the store holds."""

    jobs: list[JobRow] = []
    attempts: list[AttemptRow] = []
    artifacts: list[ArtifactRow] = []


class StoreReader:
    """Connects to PostgreSQL itself, not through the proxy."""

    def __init__(self, url: str) -> None:
        self._engine = create_engine(url, pool_pre_ping=True, pool_size=2, connect_args={"connect_timeout": 5})

    def rows(self) -> Rows:
        """Return everything."""
        with self._engine.connect() as connection:
            return Rows(
                jobs=_all(connection, job, JobRow),
                attempts=_all(connection, attempt, AttemptRow),
                artifacts=_all(connection, artifact, ArtifactRow),
            )

    def running_on(self, pids: list[int]) -> list[tuple[str, int]]:
        """Return the attempts whose leases the workers of these process ids hold."""
        statement = select(job.c.id, job.c.attempt, job.c.lease_owner).where(job.c.state == "running")
        with self._engine.connect() as connection:
            rows = connection.execute(statement).all()
        return [(row.id, row.attempt) for row in rows if any(f"-{pid}-" in row.lease_owner for pid in pids)]

    def waiting(self) -> list[str]:
        """Return the jobs that are due and have not been claimed."""
        statement = select(job.c.id).where(job.c.state == "queued", job.c.run_at <= now())
        with self._engine.connect() as connection:
            return list(connection.execute(statement).scalars())

    def ping(self) -> None:
        """Ask for the simplest there is."""
        with self._engine.connect() as connection:
            connection.execute(text("SELECT 1"))

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()


def save(rows: Rows, path: Path) -> None:
    """Write rows to a file."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(rows), indent=1))


def load(path: Path) -> Rows:
    """Read rows from a file."""
    return msgspec.json.decode(path.read_bytes(), type=Rows)


def _all(connection: Connection, table: Any, kind: Any) -> list[Any]:
    columns = [table.c[name] for name in kind.__struct_fields__]
    return [
        kind(**{name: _plain(value) for name, value in _items(row)}) for row in connection.execute(select(*columns))
    ]


def _items(row: Row[Any]) -> list[tuple[str, Any]]:
    return [(str(name), value) for name, value in row._mapping.items()]  # noqa: SLF001 - a public method of SQLAlchemy's Row


def _plain(value: Any) -> Any:
    match value:
        case datetime():
            return value.timestamp()
        case bytes():
            return value.decode()
        case _:
            return value
