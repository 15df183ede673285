"""What attempts print and log: stored part by part while they run, and read by clients at any time."""

from collections.abc import Mapping

from sqlalchemy import Connection, and_, delete, func, literal, select
from sqlalchemy.dialects import postgresql, sqlite

from offload_shared.job import JobState, Output
from offload_shared.store.database import Database
from offload_shared.store.schema import job, output

#: Of each attempt so many of its last bytes are kept, a part more or less.
KEPT_BYTES = 256 * 1024


def append(database: Database, said: Mapping[tuple[str, int], Output]) -> None:
    """Store what these attempts, each named by its job and number, have said; nothing for one that has ended.

    A part may be stored again, also grown at its end: when the store's answer was lost, that is how to go on.
    """

    def work(connection: Connection) -> None:
        for lease, part in sorted(said.items()):
            write(connection, lease, part)

    database.write(work)


def write(connection: Connection, lease: tuple[str, int], part: Output) -> None:
    """Store a part of a running attempt's output, within the caller's transaction."""
    job_id, number = lease
    running = (job.c.id == job_id) & (job.c.attempt == number) & (job.c.state == JobState.RUNNING)
    columns = (output.c.job_id, output.c.attempt, output.c.start, output.c.content)
    values = (job.c.id, job.c.attempt, literal(part.start, output.c.start.type), literal(part.content))
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    # The job's row is locked first, as whoever ends the attempt does: two that lock in opposite order would wait for
    # each other, the one for the job, the other for its output.
    source = select(*values).where(running).with_for_update(read=True, key_share=True, of=job)
    statement = insert(output).from_select(columns, source)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[output.c.job_id, output.c.attempt, output.c.start],
            set_={"content": statement.excluded.content},
            where=func.length(statement.excluded.content) > func.length(output.c.content),
        )
    )
    mine = (output.c.job_id == job_id) & (output.c.attempt == number)
    old = and_(mine, output.c.start + func.length(output.c.content) <= part.end - KEPT_BYTES)
    connection.execute(delete(output).where(old))


def read(database: Database, job_id: str, number: int, *, after: int = 0, tenant: str = "") -> Output:
    """Return what is kept of the output of an attempt of a tenant's job after its first `after` bytes, if anything."""
    of_attempt = (output.c.job_id == job_id) & (output.c.attempt == number) & (job.c.tenant == tenant)
    fresh = of_attempt & (output.c.start + func.length(output.c.content) > after)
    statement = select(output.c.start, output.c.content).join(job).where(fresh).order_by(output.c.start)
    rows = database.read(lambda connection: connection.execute(statement).all())
    start, content = after, bytearray()
    for row in rows:
        end = start + len(content)
        if row.start > end:  # what was between has been dropped
            start, content = row.start, bytearray(row.content)
        else:  # a part that was stored again, grown and with its beginning dropped, laps over the one before
            content += row.content[end - row.start :]
    return Output(start, bytes(content))
