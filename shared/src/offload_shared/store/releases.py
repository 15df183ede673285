"""Tells the jobs of a flow that others they follow have ended: the last one told of lets them run."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, bindparam, delete, select, update

from offload_shared.errors import ReferenceInvalid
from offload_shared.job import Failure, Hint, IfFailed, JobState
from offload_shared.references import RESULT, filled, found_in
from offload_shared.store import deliveries, steps
from offload_shared.store.clock import clock
from offload_shared.store.database import Database
from offload_shared.store.endings import finished_now
from offload_shared.store.jobs import FIRST_HINT_SECONDS
from offload_shared.store.schema import attempt, dependency, job, step_end

BATCH = 100
#: A payload with all results in it is no larger.
LARGEST_PAYLOAD_BYTES = 4 * 1024 * 1024


class Released(msgspec.Struct, frozen=True):
    """What came of it: how many ends were told of, and which jobs are due now."""

    ends: int
    due: list[Hint]


def release(database: Database) -> Released:
    """Tell the followers of jobs that have ended, a batch of them; to be repeated until there were no ends.

    A follower all of whose jobs have ended is due, its payload filled with the results it refers to; one that is not
    to run after a failure ends with it. Any number of processes do so side by side.
    """
    if database.read(lambda connection: connection.execute(_ENDS.limit(1)).first()) is None:
        return Released(0, [])
    return database.write(lambda connection: _release(connection))  # noqa: PLW0108 - failpoints know it by this verb


_ENDS = select(step_end.c.job_id)


def _release(connection: Connection) -> Released:
    locked = _ENDS.order_by(step_end.c.job_id).limit(BATCH).with_for_update(skip_locked=True)
    ended = connection.execute(locked).scalars().all()
    if not ended:
        return Released(0, [])
    told = {"ended": ended}
    # In the order of their ids, in which all are locked that are locked together.
    followers = connection.execute(_FOLLOWERS, told).all()
    before = defaultdict[str, list[Any]](list)
    for row in connection.execute(_BEFORE, told):
        before[row.job_id].append(row)
    due = [hint for each in followers for hint in _tell(connection, each, before[each.id])]
    connection.execute(delete(step_end).where(step_end.c.job_id.in_(ended)))
    return Released(len(ended), due)


_ended = dependency.c.after_id.in_(bindparam("ended", expanding=True))
_FOLLOWERS = (
    select(job, deliveries.heard())
    .where(job.c.id.in_(select(dependency.c.job_id).where(_ended)))
    .where((job.c.state == JobState.QUEUED) & (job.c.waits_for > 0))
    .order_by(job.c.id)
    .with_for_update(of=job)
)
_BEFORE = (
    select(dependency.c.job_id, job.c.state, job.c.step).join(job, job.c.id == dependency.c.after_id).where(_ended)
)


def _tell(connection: Connection, follower: Row[Any], ended: Sequence[Any]) -> list[Hint]:
    """Tell a job that waits of the jobs that it follows and that have ended just now; returns a hint once it is due."""
    bad = [row.step for row in ended if row.state != JobState.SUCCEEDED]
    if bad and follower.if_failed != IfFailed.RUN:
        detail = f"{bad[0]!r}, which this job was to follow, has not succeeded"
        skips = follower.if_failed == IfFailed.SKIP
        _end(connection, follower, JobState.CANCELLED if skips else JobState.FAILED, Failure.DEPENDENCY, detail)
        return []
    left = follower.waits_for - len(ended)
    if left:
        _change(connection, follower, waits_for=left)
        return []
    try:
        payload = _payload(connection, follower)
    except ReferenceInvalid as error:
        detail = f"the payload's {error.pointer} {error}"
        _end(connection, follower, JobState.FAILED, Failure.REJECTED, detail)
        return []
    moments = {"run_at": clock(), "publish_after": clock(FIRST_HINT_SECONDS)}
    _change(connection, follower, waits_for=0, payload=payload, **moments)
    return [Hint(follower.id, follower.queue, follower.priority)]


def _payload(connection: Connection, follower: Row[Any]) -> str:
    if f'"{RESULT}"' not in follower.payload:
        return str(follower.payload)
    payload = msgspec.json.decode(follower.payload)
    wanted = {"wanted": sorted({reference.to for reference in found_in(payload)})}
    results = {row.job_id: msgspec.json.decode(row.result) for row in connection.execute(_RESULTS, wanted)}
    whole = msgspec.json.encode(filled(payload, results))
    if len(whole) > LARGEST_PAYLOAD_BYTES:
        raise ReferenceInvalid("", f"has {len(whole)} bytes with the results in it, of at most {LARGEST_PAYLOAD_BYTES}")
    return whole.decode()


_RESULTS = select(attempt.c.job_id, attempt.c.result).where(
    attempt.c.job_id.in_(bindparam("wanted", expanding=True)), attempt.c.outcome == "succeeded"
)


def _change(connection: Connection, follower: Row[Any], **change: Any) -> None:
    values = {"version": job.c.version + 1, **change}
    connection.execute(update(job).where(job.c.id == follower.id).values(values))


def _end(connection: Connection, follower: Row[Any], state: JobState, failure: Failure, detail: str) -> None:
    _change(connection, follower, state=state, failure=failure, detail=detail, **finished_now())
    if follower.heard:
        deliveries.add_of(connection, [follower], state)
    steps.note_ends(connection, [follower])
