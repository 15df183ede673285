"""Flows: jobs that are added together, some of which follow others."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, bindparam, insert, select

from offload_shared.job import IfFailed, Job, NewJob
from offload_shared.store.clock import clock
from offload_shared.store.database import Database
from offload_shared.store.jobs import Added, add_unless, as_job
from offload_shared.store.repeats import earlier
from offload_shared.store.schema import dependency, job


class FlowJob(msgspec.Struct, frozen=True):
    """A job of a flow, without its attempts and artifacts, and its place in the flow."""

    job: Job
    after: list[str]  # names of the jobs it follows, as far as they are there still
    if_failed: IfFailed


def add(database: Database, jobs: Sequence[NewJob], *, max_queued: int = 0) -> list[Added]:
    """Add all jobs of a flow in one transaction, or none; answers in their order.

    The first carries the flow's idempotency key. Where that is known already, or where there is no room for all, it
    answers for them: nothing was added.
    """
    first = jobs[0]

    def work(connection: Connection) -> list[Added]:
        if known := earlier(connection, [first]):
            return [_repeat(first, each.id, each.fingerprint) for each in known.values()]
        answers = add_unless(database, connection, jobs, max_queued, lambda answer: answer.created_at is None)
        if bad := next((answer for answer in answers if answer.created_at is None), None):
            return [bad]
        if rows := [{"job_id": new.id, "after_id": each} for new in jobs if new.step for each in new.step.after]:
            connection.execute(insert(dependency), rows)
        return answers

    return database.write(work)


def _repeat(first: NewJob, known_id: str, fingerprint: str | None) -> Added:
    same = fingerprint == first.fingerprint
    return Added(known_id, replayed=same, conflict=not same)


def get_flow(database: Database, flow_id: str, *, tenant: str = "") -> list[FlowJob]:
    """Return the jobs of a flow that are there, each after those it follows; none when the tenant has no such flow."""
    asked = {"flow": flow_id, "owner": tenant}

    def work(connection: Connection) -> list[FlowJob]:
        rows = connection.execute(_JOBS, asked).all()
        names = {row.id: row.step for row in rows}
        after: dict[str, list[str]] = {row.id: [] for row in rows}
        for row in connection.execute(_DEPENDENCIES, asked) if rows else ():
            if row.job_id in after and row.after_id in names:
                after[row.job_id].append(names[row.after_id])
        return [FlowJob(as_job(row, [], []), after[row.id], IfFailed(row.if_failed)) for row in rows]

    return database.read(work)


_MINE = (job.c.tenant == bindparam("owner")) & (job.c.flow_id == bindparam("flow"))
_JOBS = select(job, clock().label("now")).where(_MINE).order_by(job.c.id)
_DEPENDENCIES = (
    select(dependency).join(job, job.c.id == dependency.c.job_id).where(_MINE).order_by(dependency.c.after_id)
)
