"""A store that goes silent without closing a connection, seen through a network that swallows what is sent."""

import asyncio
import threading
from collections.abc import Callable, Iterator

import pytest
from chaos.proxy import Proxy
from sqlalchemy import make_url, text

from offload_shared.errors import StoreUnavailable
from offload_shared.store import database as module
from offload_shared.store.database import Database

LIMIT_SECONDS = 1.0


class Network:
    """A proxy on an event loop of its own thread."""

    def __init__(self, host: str, port: int) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.proxy = Proxy(host, port)
        asyncio.run_coroutine_threadsafe(self.proxy.start(), self._loop).result()

    def have(self, done: Callable[[], None]) -> None:
        async def call() -> None:
            done()

        asyncio.run_coroutine_threadsafe(call(), self._loop).result()

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self.proxy.close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture
def network(postgres_url: str) -> Iterator[Network]:
    url = make_url(postgres_url)
    made = Network(url.host or "127.0.0.1", url.port or 5432)
    yield made
    made.close()


@pytest.fixture
def far(network: Network, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """A store beyond the network, with one connection."""
    monkeypatch.setattr(module, "SILENCE_SECONDS", LIMIT_SECONDS)
    url = make_url(postgres_url).set(host="127.0.0.1", port=network.proxy.port)
    made = Database(url.render_as_string(hide_password=False), connections=1)
    made.ping()
    yield made
    made.dispose()


def test_a_connection_that_went_silent_is_given_up_and_the_work_done_on_a_new_one(
    network: Network, far: Database
) -> None:
    network.have(network.proxy.half_open)

    far.ping()


def test_a_store_that_stays_silent_is_told_as_away_and_is_back_as_soon_as_it_speaks(
    network: Network, far: Database
) -> None:
    network.have(network.proxy.stall)
    with pytest.raises(StoreUnavailable):
        far.ping()

    network.have(network.proxy.heal)
    far.ping()


def test_work_without_a_bound_may_take_its_time(far: Database) -> None:
    far.write(lambda connection: connection.execute(text(f"SELECT pg_sleep({3 * LIMIT_SECONDS})")), bounded=False)

    with pytest.raises(StoreUnavailable):
        far.write(lambda connection: connection.execute(text(f"SELECT pg_sleep({5 * LIMIT_SECONDS})")))
