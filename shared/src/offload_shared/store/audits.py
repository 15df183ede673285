"""The audit trail in the store: who asked for what, and what came of it."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite

from offload_shared.store.clock import now
from offload_shared.store.database import Database
from offload_shared.store.schema import audit

BATCH = 1000
#: Of ids and names of what requests are about.
TARGET_PATTERN = "^[A-Za-z0-9._:-]{1,100}$"
#: Of whom tokens name, as OpenID Connect bounds it. To Python a line feed may stand before `$`.
SUBJECT_PATTERN = r"^[ -~]{1,255}(?!\n)$"


class AuditRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A request that was to change something."""

    id: str  # grows with the time
    at: datetime  # by the clock of the API process
    tenant: str
    key_id: str | None
    subject: str | None = None  # of a token, where it was no key
    address: str  # where the connection came from
    method: str
    route: str  # with the names of its parameters, not their values
    target: str | None  # the id or the name of what it was about: a job, a schedule, a file, a key, a queue
    status: int  # of the answer


def add(database: Database, records: Sequence[AuditRecord]) -> None:
    """Store records; safe to repeat."""
    insert = sqlite.insert if database.sqlite else postgresql.insert
    rows = [msgspec.structs.asdict(record) for record in records]
    database.write(lambda connection: connection.execute(insert(audit).on_conflict_do_nothing(), rows))


class WantedRecords(msgspec.Struct, frozen=True, kw_only=True):
    """Which records are listed: those of which all of this holds."""

    tenant: str | None  # None: those of all tenants
    key_id: str | None = None
    subject: str | None = None
    target: str | None = None


def page(database: Database, wanted: WantedRecords, *, size: int, older_than: str | None = None) -> list[AuditRecord]:
    """Return up to `size` records, the newest first, that are older than the one of this id."""
    values = {name: getattr(wanted, name) for name in WantedRecords.__struct_fields__}
    conditions = [audit.c[name] == value for name, value in values.items() if value is not None]
    if older_than is not None:
        conditions.append(audit.c.id < older_than)
    statement = select(audit).where(*conditions).order_by(audit.c.id.desc()).limit(size)
    rows = database.read(lambda connection: connection.execute(statement).all())
    return [AuditRecord(**row._mapping) for row in rows]  # noqa: SLF001 - a public method of SQLAlchemy's Row


def forget(database: Database, *, days: float) -> int:
    """Remove records that are older, a batch of them; returns how many."""
    # A moment that is known is turned into an id, which there is an index of; ids begin with the time.
    moment = database.read(lambda connection: connection.execute(select(now())).scalar_one())
    oldest = f"{max(0, int((moment.timestamp() - days * 86_400) * 1000)):012x}"
    old = select(audit.c.id).where(audit.c.id < oldest).order_by(audit.c.id).limit(BATCH)
    if not (ids := database.read(lambda connection: connection.execute(old).scalars().all())):
        return 0
    database.write(lambda connection: connection.execute(delete(audit).where(audit.c.id.in_(ids))))
    return len(ids)
