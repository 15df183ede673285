import subprocess
import sys

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect

from offload_shared.store.database import Database
from offload_shared.store.schema import metadata

PROCESSES = 6


def test_many_processes_that_migrate_at_once_all_succeed(store_url: str) -> None:
    command = [sys.executable, "-c", "from offload_shared.store.migrate import main; main()"]
    started = [
        subprocess.Popen(command, env={"OFFLOAD_STORE_URL": store_url}, stderr=subprocess.PIPE, text=True)
        for _ in range(PROCESSES)
    ]
    endings = [(process.communicate()[1], process.returncode) for process in started]

    assert [("", 0)] * PROCESSES == endings
    database = Database(store_url)
    tables = database.read(lambda connection: inspect(connection).get_table_names())
    database.dispose()
    assert {"job", "attempt", "artifact", "file"} <= set(tables)


def test_the_migrations_make_the_tables_that_the_verbs_expect(database: Database) -> None:
    differences = database.read(lambda connection: compare_metadata(MigrationContext.configure(connection), metadata))

    assert [] == differences
