"""Files that nobody names: all of a job that is gone, and of one that has ended what unsuccessful attempts have left.

What an attempt has stored before it died, no row names. It is noted in the transaction that ends the job, for all of
its attempts at once: until then the next attempt may be storing files, and nobody looks at the job.
"""

from collections.abc import Sequence
from datetime import datetime
from operator import itemgetter

import msgspec
from sqlalchemy import Connection, delete, insert, select, update

from offload_shared.store.clock import clock
from offload_shared.store.database import Database
from offload_shared.store.schema import gone, leftover

BATCH = 100


def note(connection: Connection, job_ids: Sequence[str], *, kept: int | None = None) -> None:
    """Note that unsuccessful attempts of these jobs, which end now, may have left files.

    Those of the attempt `kept`, which has succeeded, stay.
    """
    if job_ids:
        rows = [{"job_id": job_id, "kept": kept} for job_id in job_ids]
        connection.execute(insert(leftover).values(noted_at=clock()), rows)


class Uncollected(msgspec.Struct, frozen=True):
    """A job of whose files some may be there that nobody names."""

    job_id: str
    gone: bool  # the job itself
    kept: int | None = None  # the attempt whose files stay


def uncollected(database: Database) -> list[Uncollected]:
    """Return some of the jobs that are to be collected, those that have waited for longest first."""
    whole = select(gone.c.job_id, gone.c.gone_at.label("at")).where(~gone.c.collected)
    parts = select(leftover.c.job_id, leftover.c.kept, leftover.c.noted_at.label("at"))

    def work(connection: Connection) -> list[tuple[datetime, Uncollected]]:
        of_gone = connection.execute(whole.order_by(gone.c.gone_at).limit(BATCH))
        found = [(row.at, Uncollected(row.job_id, gone=True)) for row in of_gone]
        of_others = connection.execute(parts.order_by(leftover.c.noted_at).limit(BATCH))
        return found + [(row.at, Uncollected(row.job_id, gone=False, kept=row.kept)) for row in of_others]

    return [each for _, each in sorted(database.read(work), key=itemgetter(0))]


def note_collected(database: Database, collected: Sequence[Uncollected]) -> None:
    """Note that no file of these jobs is left that nobody names."""

    def work(connection: Connection) -> None:
        connection.execute(update(gone).where(gone.c.job_id.in_(_ids(collected, gone=True))).values(collected=True))
        connection.execute(delete(leftover).where(leftover.c.job_id.in_(_ids(collected, gone=False))))

    database.write(work)


def put_off(database: Database, uncollected: Sequence[Uncollected]) -> None:
    """Let these jobs wait behind all others, since some of their files cannot be removed now."""

    def work(connection: Connection) -> None:
        whole, parts = _ids(uncollected, gone=True), _ids(uncollected, gone=False)
        connection.execute(update(gone).where(gone.c.job_id.in_(whole)).values(gone_at=clock()))
        connection.execute(update(leftover).where(leftover.c.job_id.in_(parts)).values(noted_at=clock()))

    database.write(work)


def _ids(found: Sequence[Uncollected], *, gone: bool) -> list[str]:
    return [each.job_id for each in found if each.gone is gone]
