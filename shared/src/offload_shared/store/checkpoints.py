"""The state that an attempt saves of its work, for the next attempt of its job to go on from."""

import msgspec
from sqlalchemy import bindparam, update

from offload_shared.job import JobState, StoredFile
from offload_shared.store.database import Database
from offload_shared.store.leases import Lease
from offload_shared.store.schema import job


def save(database: Database, lease: Lease, state: StoredFile) -> bool:
    """Name the file that has an attempt's state; False where another attempt has the job, which changes nothing."""
    job_id, number = lease
    named = {"saving": job_id, "number": number, "named": msgspec.json.encode(state).decode()}
    return database.write(lambda connection: bool(connection.execute(_SAVE, named).rowcount))


_SAVE = (
    update(job)
    .where(
        (job.c.id == bindparam("saving")) & (job.c.attempt == bindparam("number")) & (job.c.state == JobState.RUNNING)
    )
    .values(checkpoint=bindparam("named"))
)
