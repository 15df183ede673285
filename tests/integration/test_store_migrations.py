import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect, text

from offload_shared.store.database import Database
from offload_shared.store.migrate import _upgrade, migrate
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


@pytest.mark.parametrize("revision", ["0001", "0004", "0007", "0009"])
def test_a_store_of_an_earlier_version_is_brought_up_to_date(store_url: str, revision: str) -> None:
    database = Database(store_url)
    database.write(lambda connection: _upgrade(connection, revision))
    migrate(database)
    differences = database.read(lambda connection: compare_metadata(MigrationContext.configure(connection), metadata))
    database.dispose()

    assert [] == differences


def test_a_migration_that_waits_for_a_table_holds_nobody_up_for_long(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(postgres_url)
    database.write(lambda connection: _upgrade(connection, "0009"))
    tried_again = threading.Event()

    def pause(_: float) -> None:
        tried_again.set()
        time.sleep(0.01)

    monkeypatch.setattr("offload_shared.store.migrate.time", SimpleNamespace(sleep=pause))
    migration = threading.Thread(target=migrate, args=[database])
    reading = text("SELECT 1 FROM job LIMIT 1")

    def back_up(connection: Connection) -> None:
        connection.execute(reading)
        migration.start()
        assert tried_again.wait(9)
        for _ in range(3):  # behind the migration, or between two of its tries
            database.read(lambda another: another.execute(reading))
        assert migration.is_alive()

    database.write(back_up)
    migration.join(60)
    assert not migration.is_alive()

    differences = database.read(lambda connection: compare_metadata(MigrationContext.configure(connection), metadata))
    database.dispose()
    assert [] == differences


def test_a_start_that_finds_nothing_to_do_does_not_load_alembic(database: Database, store_url: str) -> None:
    migrating = "import sys; from offload_shared.store.migrate import main; main(); print('alembic' in sys.modules)"
    ended = subprocess.run(
        [sys.executable, "-c", migrating],
        env={"OFFLOAD_STORE_URL": store_url},
        capture_output=True,
        text=True,
        check=True,
    )

    assert "False" == ended.stdout.splitlines()[-1]


def test_a_store_of_a_later_version_is_refused_in_one_sentence(database: Database, store_url: str) -> None:
    database.write(lambda connection: connection.execute(text("UPDATE alembic_version SET version_num = '9001'")))
    command = [sys.executable, "-c", "from offload_shared.store.migrate import main; main()"]
    ended = subprocess.run(
        command, env={"OFFLOAD_STORE_URL": store_url}, stderr=subprocess.PIPE, text=True, check=False
    )

    assert 1 == ended.returncode
    assert 1 == len(ended.stderr.splitlines())
    assert "9001, of a later version than this program" in ended.stderr
