"""Jobs of a flow that end: noted in the transaction of the end, for those that follow them.

Nothing but the note is added to the end itself. Whoever tells the followers, with `releases.release`, does it later,
and may die on the way: until they are told, the note is there.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, bindparam, exists, insert, select

from offload_shared.job import JobState
from offload_shared.store.schema import dependency, job, step_end

#: When a job is to run that others come before. So none of what asks which jobs are due has to know of flows.
NEVER = datetime(9000, 1, 1, tzinfo=UTC)


def note_ends(connection: Connection, ended: Sequence[Row[Any]]) -> None:
    """Note that these jobs end in this transaction, where others follow them."""
    if job_ids := [row.id for row in ended if row.flow_id]:
        connection.execute(_NOTE, {"ended": job_ids})


_followed = (
    select(dependency.c.after_id).distinct().where(dependency.c.after_id.in_(bindparam("ended", expanding=True)))
)
_NOTE = insert(step_end).from_select(["job_id"], _followed)

_follower = job.alias()
_waits = (_follower.c.state == JobState.QUEUED) & (_follower.c.waits_for > 0)
_followers = select(dependency.c.job_id).join(_follower, _follower.c.id == dependency.c.job_id).where(_waits)


def needed() -> ColumnElement[bool]:
    """Return the condition that a job is followed by one that waits still, and that may take its result."""
    return exists(_followers.where(dependency.c.after_id == job.c.id)).correlate(job)


def is_needed(connection: Connection, job_id: str) -> bool:
    """Say the same of one job."""
    return connection.execute(_followers.where(dependency.c.after_id == job_id).limit(1)).first() is not None
