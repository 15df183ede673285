"""Brings the store's schema up to date; safe when many processes start at once."""

import argparse
import logging
import os
import sys
import time
from pathlib import Path

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError

from offload_shared.errors import OffloadError, StoreUnavailable
from offload_shared.settings import SharedSettings, load
from offload_shared.store.database import Database

MIGRATIONS = Path(__file__).parent / "migrations"

#: Any number, so long as it is always the same: whoever migrates holds PostgreSQL's advisory lock of it.
MIGRATION_LOCK = 7_633_623
#: So long a migration waits for a table, which is less than those wait who come behind it.
LOCK_SECONDS = 1
PAUSE_SECONDS = 3.0
#: PostgreSQL's own word for a lock that was not to be had in time.
LOCK_NOT_AVAILABLE = "55P03"

_log = logging.getLogger(__name__)

logging.getLogger("alembic").setLevel(logging.WARNING)  # each start would tell of its dialect


def migrate(database: Database) -> None:
    """Apply the migrations that are missing, in one transaction; raises `StoreUnavailable`, also for a later schema.

    Who else migrates waits meanwhile, for SQLite's write lock or PostgreSQL's advisory lock, and finds nothing to do.
    Where somebody uses a table that is to be changed, it is tried again until nobody does: everybody else who needs the
    table waits behind whoever waits to change it, which so is for no longer than a statement may wait.
    """
    if database.read(_is_current):
        return
    waits = False
    while not _is_migrated(database):
        if not waits:
            _log.warning("the migration waits for transactions, such as a backup's, that use what it is to change")
        waits = True
        time.sleep(PAUSE_SECONDS)


def _is_migrated(database: Database) -> bool:
    def work(connection: Connection) -> None:
        if not database.sqlite:
            # A change of a large table takes its time, and so does whoever migrates before us.
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(text("SET LOCAL lock_timeout = 0"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
            connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'"))
        _upgrade(connection)

    try:
        database.write(work, bounded=False)
    except StoreUnavailable as error:
        if _is_held(error.__cause__):
            return False
        raise
    return True


def _is_held(error: BaseException | None) -> bool:
    return isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) == LOCK_NOT_AVAILABLE


def _is_current(connection: Connection) -> bool:
    if not inspect(connection).has_table("alembic_version"):
        return False
    newest = max(path.stem for path in (MIGRATIONS / "versions").glob("[0-9]*.py")).partition("_")[0]
    present = str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one())
    if present > newest:
        raise StoreUnavailable(
            f"the store's schema is {present}, of a later version than this program, which knows {newest}"
        )
    return present == newest


def _upgrade(connection: Connection, revision: str = "head") -> None:
    # Alembic costs a start as much time as all the rest of the store, and most starts find nothing to do.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def main() -> None:
    """Migrate the store that the environment names, then exit: the one-shot step of a deployment."""
    about = "Brings the schema of the store at OFFLOAD_STORE_URL up to date: the one-shot step of a deployment."
    argparse.ArgumentParser(prog="offload-migrate", description=about).parse_args()
    try:
        database = Database(load(SharedSettings, os.environ).store, connections=1)
        migrate(database)
    except OffloadError as error:
        sys.exit(f"offload-migrate: {error}")
    sys.stdout.write("offload-migrate: the store's schema is up to date\n")
