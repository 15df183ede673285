"""Brings the store's schema up to date; safe when many processes start at once."""

import argparse
import logging
import os
import sys
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

from offload_shared.errors import OffloadError
from offload_shared.settings import SharedSettings, load
from offload_shared.store.database import Database

#: Any number, so long as it is always the same: whoever migrates holds PostgreSQL's advisory lock of it.
MIGRATION_LOCK = 7_633_623

logging.getLogger("alembic").setLevel(logging.WARNING)  # each start would tell of its dialect


def migrate(database: Database) -> None:
    """Apply the migrations that are missing, in one transaction; raises `StoreUnavailable`.

    The others wait meanwhile, SQLite's for its write lock, PostgreSQL's for an advisory lock, and find nothing to do.
    """

    def work(connection: Connection) -> None:
        if not database.sqlite:
            # A change of a large table takes its time, and so does whoever migrates before us.
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(text("SET LOCAL lock_timeout = 0"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
        command.upgrade(config(connection), "head")

    database.write(work, bounded=False)


def config(connection: Connection) -> Config:
    """Return Alembic's configuration for our migrations on this connection."""
    alembic = Config()
    alembic.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    alembic.attributes["connection"] = connection
    return alembic


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
