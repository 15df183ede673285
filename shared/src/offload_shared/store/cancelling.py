"""Cancels: of a job, and of a whole flow."""

from enum import Enum
from typing import Any

from sqlalchemy import Connection, Row, select, update

from offload_shared.job import JobState
from offload_shared.store import deliveries, leftovers, steps
from offload_shared.store.database import Database
from offload_shared.store.endings import finished_now
from offload_shared.store.schema import job


class CancelAnswer(Enum):
    """What a request to cancel met."""

    NOT_FOUND = "not_found"
    CANCELLED = "cancelled"  # it was queued, or was cancelled before
    REQUESTED = "requested"  # it runs: its worker will end it
    FINISHED = "finished"  # it succeeded or failed before


def cancel(database: Database, job_id: str, *, tenant: str = "") -> CancelAnswer:
    """Cancel a queued job at once, or ask the worker of a running one to end it."""

    def work(connection: Connection) -> CancelAnswer:
        mine = (job.c.id == job_id) & (job.c.tenant == tenant)
        row = connection.execute(_FOUND.where(mine).with_for_update(of=job)).one_or_none()
        return CancelAnswer.NOT_FOUND if row is None else _cancel(connection, row)

    return database.write(work)


def cancel_flow(database: Database, flow_id: str, *, tenant: str = "") -> CancelAnswer:
    """Do the same with every job of a flow that has not ended, in one transaction."""

    def work(connection: Connection) -> CancelAnswer:
        mine = (job.c.flow_id == flow_id) & (job.c.tenant == tenant)
        # In the order of their ids, in which all are locked that are locked together.
        rows = connection.execute(_FOUND.where(mine).order_by(job.c.id).with_for_update(of=job)).all()
        answers = {_cancel(connection, row) for row in rows}
        # What is still to be done about one of them is what is still to be done about all.
        order = (CancelAnswer.REQUESTED, CancelAnswer.CANCELLED, CancelAnswer.FINISHED)
        return next((answer for answer in order if answer in answers), CancelAnswer.NOT_FOUND)

    return database.write(work)


_OWN = (job.c.id, job.c.tenant, job.c.state, job.c.attempt, job.c.cancel_requested, job.c.callback_url, job.c.flow_id)
_FOUND = select(*_OWN, deliveries.heard())


def _cancel(connection: Connection, row: Row[Any]) -> CancelAnswer:
    state = JobState(row.state)
    if state.final:
        return CancelAnswer.CANCELLED if state is JobState.CANCELLED else CancelAnswer.FINISHED
    change: dict[str, Any] = {"cancel_requested": True, "version": job.c.version + 1}
    if state is JobState.QUEUED:
        change |= {"state": JobState.CANCELLED, **finished_now()}
    if state is JobState.QUEUED or not row.cancel_requested:
        connection.execute(update(job).where(job.c.id == row.id).values(change))
    if state is not JobState.QUEUED:
        return CancelAnswer.REQUESTED
    if row.attempt:
        leftovers.note(connection, [row.id])
    if row.heard:
        deliveries.add_of(connection, [row], JobState.CANCELLED)
    steps.note_ends(connection, [row])
    return CancelAnswer.CANCELLED
