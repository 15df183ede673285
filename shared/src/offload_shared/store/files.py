"""Rows of uploaded files and of jobs' artifacts."""

import msgspec
from sqlalchemy import insert, select

from offload_shared.job import StoredFile
from offload_shared.store.clock import clock
from offload_shared.store.database import Database
from offload_shared.store.jobs import stored_file
from offload_shared.store.schema import artifact, file, job


def add_file(database: Database, file_id: str, stored: StoredFile, *, tenant: str = "") -> None:
    """Name an uploaded file that already lies in the artifact storage."""
    statement = insert(file).values(id=file_id, tenant=tenant, created_at=clock(), **msgspec.structs.asdict(stored))
    database.write(lambda connection: connection.execute(statement))


def get_file(database: Database, file_id: str, *, tenant: str = "") -> StoredFile | None:
    """Return an uploaded file, or None when the tenant has none of that id."""
    statement = select(file).where(file.c.id == file_id, file.c.tenant == tenant)
    row = database.read(lambda connection: connection.execute(statement).one_or_none())
    return stored_file(row) if row else None


def get_artifact(database: Database, job_id: str, name: str, *, tenant: str = "") -> StoredFile | None:
    """Return a job's artifact, or None when the tenant has no such job or the job no such artifact."""
    mine = (artifact.c.job_id == job_id) & (artifact.c.name == name) & (job.c.tenant == tenant)
    statement = select(artifact).join(job).where(mine)
    row = database.read(lambda connection: connection.execute(statement).one_or_none())
    return stored_file(row) if row else None
