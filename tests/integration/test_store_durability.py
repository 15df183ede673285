"""What a 202 rests on: a commit is on the disk when it is answered."""

from typing import Any

from sqlalchemy import text

from offload_shared.store.database import Database


def _setting(database: Database, statement: str) -> Any:
    def ask(connection: Any) -> Any:
        return connection.execute(text(statement)).scalar_one()

    written, read = database.write(ask), database.read(ask)
    assert written == read
    return written


def test_a_commit_waits_for_the_disk(database: Database) -> None:
    if database.sqlite:
        assert "wal" == _setting(database, "PRAGMA journal_mode")
        assert 2 == _setting(database, "PRAGMA synchronous")  # FULL: in WAL mode the log is synced with each commit
    else:
        assert "on" == _setting(database, "SHOW synchronous_commit")
        assert "on" == _setting(database, "SHOW fsync")  # of the tests' own server, as anybody's must be
