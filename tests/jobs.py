"""Jobs as the tests make them, and moves of the store's clock as the tests need them."""

from typing import Any

from sqlalchemy import update

from offload_shared.ids import new_id
from offload_shared.job import ClaimedJob, Job, NewJob
from offload_shared.store import jobs, leases
from offload_shared.store.clock import clock
from offload_shared.store.database import Database
from offload_shared.store.schema import job

WORKER = "a-worker"
TASKS = (("probe", 1), ("probe-thread", 1), ("probe-event-loop", 1), ("echo", 1))


def new_job(**changes: Any) -> NewJob:
    values = {
        "id": new_id(),
        "task": "probe",
        "queue": "cpu",
        "payload": "{}",
        "timeout_seconds": 60.0,
        "memory_limit_mb": 512,
        "max_attempts": 3,
    }
    return NewJob(**{**values, **changes})


def added(database: Database, **changes: Any) -> str:
    [answer] = jobs.add(database, [new_job(**changes)])
    return answer.id


def claimed(database: Database, job_id: str, worker: str = WORKER, lease_seconds: float = 30) -> ClaimedJob | None:
    return leases.claim(database, job_id, worker=worker, lease_seconds=lease_seconds, tasks=TASKS)


def running(database: Database, lease_seconds: float = 30, **changes: Any) -> leases.Lease:
    """Add and claim a job."""
    job_id = added(database, **changes)
    found = claimed(database, job_id, lease_seconds=lease_seconds)
    assert found is not None
    return (job_id, found.attempt)


def read(database: Database, job_id: str) -> Job:
    found = jobs.get(database, job_id)
    assert found is not None
    return found


def make_due(database: Database, job_id: str) -> None:
    """Let the time of a waiting job have come, and that of its next hint."""
    change = {"run_at": clock(-1), "publish_after": clock(-1)}
    database.write(lambda connection: connection.execute(update(job).where(job.c.id == job_id).values(change)))
