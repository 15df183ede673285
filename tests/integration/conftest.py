from collections.abc import Iterator
from pathlib import Path

import pytest

from offload_shared.store.database import Database
from offload_shared.store.migrate import migrate


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Each kind of store in turn: what holds on one must hold on the other."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'offload.db'}"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def database(store_url: str) -> Iterator[Database]:
    opened = Database(store_url)
    migrate(opened)
    yield opened
    opened.dispose()
