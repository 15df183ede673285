"""The store's verbs on threads, for the event loop."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from offload_api.main import connect
from offload_api.settings import ApiSettings
from offload_api.store import SCANNING_THREADS, Store
from offload_shared.errors import CommitUnknown, StoreUnavailable
from offload_shared.store.database import Database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(f"sqlite:///{tmp_path / 'offload.db'}")
    yield opened
    opened.dispose()


def test_a_verb_runs_beside_the_event_loop(database: Database) -> None:
    store = Store(database, threads=1, answer_seconds=30)

    thread = asyncio.run(store.run(lambda _: threading.current_thread().name))
    store.close()

    assert thread.startswith("store")


def test_what_a_verb_raises_reaches_its_caller(database: Database) -> None:
    def away(_: Database) -> None:
        raise StoreUnavailable("away")

    store = Store(database, threads=1, answer_seconds=30)

    with pytest.raises(StoreUnavailable, match="away"):
        asyncio.run(store.run(away))
    store.close()


def test_a_store_that_hangs_is_given_up_in_time_its_outcome_unknown(database: Database) -> None:
    store = Store(database, threads=1, answer_seconds=0.05)
    end = threading.Event()

    with pytest.raises(CommitUnknown):
        asyncio.run(store.run(lambda _: end.wait()))
    end.set()
    store.close()


def test_calls_that_were_given_up_before_they_began_never_run(database: Database) -> None:
    store = Store(database, threads=1, answer_seconds=0.05)
    end = threading.Event()
    ran = []

    async def scenario() -> tuple[object, object]:
        hanging = store.run(lambda _: end.wait())
        return await asyncio.gather(hanging, store.run(lambda _: ran.append(1)), return_exceptions=True)

    answers = asyncio.run(scenario())
    end.set()
    store._pool.shutdown(wait=True)
    store.close()

    assert [CommitUnknown, CommitUnknown] == [type(answer) for answer in answers]
    assert [] == ran


def test_each_thread_of_an_api_has_a_connection_of_its_own(tmp_path: Path) -> None:
    settings = ApiSettings(data_dir=tmp_path)
    services = connect(settings)
    beside = ("sweeper", "collector", "scheduler")
    together = threading.Barrier(settings.store_threads + SCANNING_THREADS + len(beside))

    with ThreadPoolExecutor(together.parties) as threads:
        reads = [
            threads.submit(services.store.database.read, lambda _: together.wait(8)) for _ in range(together.parties)
        ]
    services.store.close()

    assert set(range(together.parties)) == {read.result() for read in reads}
