"""A connection as the HTTP server sees it, without one."""

import asyncio
from collections.abc import Iterator
from typing import Any, cast

import pytest
import uvicorn
from uvicorn.server import ServerState

from offload_api import protocol
from offload_api.protocol import Protocol


class FakeTransport:
    """A connection that takes everything and sends nothing."""

    def __init__(self) -> None:
        self.aborted = asyncio.Event()
        self.unread: Iterator[int] = iter([])

    def get_extra_info(self, _: str) -> None: ...

    def get_write_buffer_size(self) -> int:
        return next(self.unread, 0)

    def abort(self) -> None:
        self.aborted.set()


async def made() -> tuple[Protocol, FakeTransport]:
    async def app(_scope: Any, _receive: Any, _send: Any) -> None: ...

    config = uvicorn.Config(app, lifespan="off", log_config=None)
    config.load()
    connection, transport = Protocol(config, ServerState(), {}), FakeTransport()
    connection.connection_made(cast("Any", transport))
    return connection, transport


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "SLOWEST_READER_SECONDS", 0.01)


def test_a_client_that_does_not_read_what_it_is_sent_is_disconnected() -> None:
    async def check() -> None:
        connection, transport = await made()
        connection.pause_writing()
        await asyncio.wait_for(transport.aborted.wait(), 10)

    asyncio.run(check())


def test_a_client_that_reads_slowly_stays_connected_for_as_long_as_it_reads() -> None:
    async def check() -> None:
        connection, transport = await made()
        transport.unread = iter([1000, 900, 800, 700, 700])
        connection.pause_writing()
        await asyncio.wait_for(transport.aborted.wait(), 10)
        assert [] == list(transport.unread)

    asyncio.run(check())


def test_a_client_that_reads_again_stays_connected() -> None:
    async def check() -> None:
        connection, transport = await made()
        connection.pause_writing()
        connection.resume_writing()
        await asyncio.sleep(0.05)
        assert not transport.aborted.is_set()

    asyncio.run(check())
