"""Which jobs workers are to be told of: the outbox, the delay queue and the recovery from lost hints in one column."""

from collections.abc import Collection, Sequence

from sqlalchemy import ColumnElement, Connection, Integer, String, bindparam, cast, exists, func, or_, select, update
from sqlalchemy.sql.expression import case, literal

from offload_shared.job import Hint, JobState
from offload_shared.store.clock import clock, now
from offload_shared.store.database import Database
from offload_shared.store.queues import unless_paused
from offload_shared.store.schema import job, queue
from offload_shared.store.unknown import TaskVersion, of_known_task, waiting

BATCH = 500
FORGET_BATCH = 5000

#: A hint is repeated after a minute, then two, four ... and at last every 32 minutes, until its job is claimed.
REPEAT_SECONDS = 60
MOST_DOUBLINGS = 5
#: A job of a paused queue is passed over for so long: what is due stays few, and cheap to look for.
PASSED_OVER_SECONDS = 3600


def take_due(database: Database, queues: Collection[str]) -> list[Hint]:
    """Return hints to publish for due jobs of these queues, having moved each on to its next turn first.

    Those of paused queues are left out: the claim would refuse them.
    """
    due_now = _hintable() & (job.c.publish_after <= now()) & job.c.queue.in_(queues)
    due = select(job.c.id).where(due_now).order_by(job.c.publish_after).limit(BATCH)
    if not database.read(lambda connection: connection.execute(due.limit(1)).first()):
        return []
    locked = due.with_for_update(skip_locked=True).cte("due")
    doublings = case((job.c.dispatches < MOST_DOUBLINGS, job.c.dispatches), else_=MOST_DOUBLINGS)
    statement = (
        update(job)
        .where(job.c.id.in_(select(locked.c.id)))
        .values(
            dispatches=job.c.dispatches + 1,
            publish_after=clock(cast(literal(REPEAT_SECONDS).op("<<")(doublings), Integer)),
        )
        .returning(job.c.id, job.c.queue, job.c.priority)
    )
    rows = database.write(lambda connection: connection.execute(statement).all())
    return [Hint(*row) for row in rows]


def queues_due(database: Database) -> set[str]:
    """Return the queues that have jobs due for a hint, but for those paused: a read, cheap when there are none."""
    statement = select(job.c.queue).distinct().where(_hintable() & (job.c.publish_after <= now()))
    return database.read(lambda connection: set(connection.execute(statement).scalars()))


def mark_published(database: Database, job_ids: Sequence[str]) -> None:
    """Note that these new jobs were hinted at, so that the relay leaves those still queued alone for a while.

    The confirmation may come late: a job that has run since, and is queued again, needs a hint of its own, and so does
    one whose queue was paused when the hint came.
    """
    database.write(lambda connection: connection.execute(_MARK_PUBLISHED, {"published": job_ids}))


_FRESH = (
    job.c.id.in_(bindparam("published", expanding=True))
    & (job.c.state == JobState.QUEUED)
    & (job.c.attempt == 0)
    & (job.c.dispatches == 0)
    & ~exists().where(queue.c.name == job.c.queue, queue.c.resumed_at >= job.c.created_at)
)
# Whoever claims one just now changes its row, and needs no mark: nobody waits for the other.
_UNCLAIMED = select(job.c.id).where(_FRESH).with_for_update(skip_locked=True, of=job).cte("unclaimed")
_MARK_PUBLISHED = (
    update(job)
    .where(_FRESH, job.c.id.in_(select(_UNCLAIMED.c.id)))
    .values(dispatches=1, publish_after=clock(REPEAT_SECONDS))
)


def forget_published(database: Database, name: str) -> int:
    """Make queued jobs of a queue due for a hint at once, a batch of them: the broker has lost its messages.

    Returns how many; to be repeated until that is none.
    """
    return database.write(lambda connection: _forget_published(connection, name))


def _forget_published(connection: Connection, name: str) -> int:
    told = waiting() & (job.c.queue == name) & or_(job.c.publish_after > now(), job.c.dispatches > 0)
    locked = select(job.c.id).where(told).limit(FORGET_BATCH).with_for_update(skip_locked=True).cte("told")
    statement = (
        update(job)
        .where(job.c.id.in_(select(locked.c.id)))
        .values(publish_after=clock(), dispatches=0)
        .returning(job.c.id)
    )
    return len(connection.execute(statement).all())


def hint_again(database: Database, name: str) -> bool:
    """Make jobs of a resumed queue due for a hint at once, a batch of them; until all are, the relay leaves them alone.

    Returns whether all are; to be repeated until then.
    """
    mine = (queue.c.name == name) & queue.c.hints_dropped

    def work(connection: Connection) -> bool:
        # Locked against whoever pauses it again, and against another API process that does the same.
        if not connection.execute(select(queue.c.name).where(mine).with_for_update()).first():
            return True
        if _forget_published(connection, name) == FORGET_BATCH:
            return False
        connection.execute(update(queue).where(mine).values(hints_dropped=False))
        return True

    return database.write(work)


def pass_over(database: Database, name: str) -> bool:
    """Move jobs of a paused queue that are due for a hint on without one, a batch of them.

    Returns whether none is left; to be repeated until then.
    """
    paused = select(queue.c.name).where(queue.c.name == name, queue.c.paused_at.is_not(None))
    due_now = waiting() & (job.c.publish_after <= now()) & (job.c.queue == name)
    due = select(job.c.id).where(due_now).order_by(job.c.publish_after).limit(FORGET_BATCH)
    locked = due.with_for_update(skip_locked=True).cte("due")
    statement = (
        update(job)
        .where(job.c.id.in_(select(locked.c.id)))
        .values(dispatches=job.c.dispatches + 1, publish_after=clock(PASSED_OVER_SECONDS))
        .returning(job.c.id)
    )

    def work(connection: Connection) -> bool:
        # Locked against whoever resumes it: what is passed over after that would wait for its hint for an hour.
        if not connection.execute(paused.with_for_update(read=True)).first():
            return True
        return len(connection.execute(statement).all()) < FORGET_BATCH

    if not database.read(lambda connection: connection.execute(due.limit(1)).first()):
        return True
    return database.write(work)


def backlog(database: Database) -> dict[str, int]:
    """Return how many jobs of each queue are due and wait for a worker, in those that are not paused."""
    statement = select(job.c.queue, func.count().label("jobs")).where(_hintable()).group_by(job.c.queue)
    return database.read(lambda connection: {row.queue: row.jobs for row in connection.execute(statement)})


def due(database: Database, name: str, *, tasks: Collection[TaskVersion], limit: int) -> list[Hint]:
    """Return due jobs of a queue, the most urgent first, and none while it is paused.

    It is what a worker without a broker looks at.
    """
    asked = {"wanted": name, "tasks": sorted(tasks), "most": limit}
    return database.read(lambda connection: [Hint(*row) for row in connection.execute(_DUE, asked)])


# Made once: a worker without a broker asks it again and again.
_DUE = (
    select(job.c.id, job.c.queue, job.c.priority)
    .where(
        waiting()
        & (job.c.queue == unless_paused(bindparam("wanted", type_=String)))
        & ~job.c.cancel_requested
        & of_known_task()
    )
    .order_by(job.c.priority.desc(), job.c.run_at)
    .limit(bindparam("most", type_=Integer))
)


def _hintable() -> ColumnElement[bool]:
    # What was dropped while a queue was paused is made up for first: else it would be made up for without end.
    silent = select(queue.c.name).where(or_(queue.c.paused_at.is_not(None), queue.c.hints_dropped))
    return waiting() & job.c.queue.not_in(silent)
