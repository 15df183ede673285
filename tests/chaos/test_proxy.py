import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from chaos.proxy import Proxy

SOON = 0.2  # long enough for a byte that comes, on loopback


class Echo:
    """A server that answers what it is sent, behind a proxy."""

    def __init__(self) -> None:
        self.heard = b""

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._proxy = Proxy("127.0.0.1", self._server.sockets[0].getsockname()[1])
        await self._proxy.start()
        return self._proxy

    async def __aexit__(self, *_: object) -> None:
        await self._proxy.close()
        self._server.close()
        await asyncio.sleep(SOON)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while content := await reader.read(100):
            self.heard += content
            writer.write(content)
        writer.close()


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    def say(self, word: bytes) -> None:
        self._writer.write(word)

    async def hears(self) -> bytes | None:
        """Return what comes soon: nothing is None, the end b''."""
        try:
            return await asyncio.wait_for(self._reader.read(100), SOON)
        except TimeoutError:
            return None
        except ConnectionResetError:
            return b""

    def close(self) -> None:
        self._writer.close()


async def client(proxy: Proxy) -> Client:
    return Client(*await asyncio.open_connection("127.0.0.1", proxy.port))


async def passes(_: Echo, proxy: Proxy) -> None:
    one = await client(proxy)
    one.say(b"word")
    assert b"word" == await one.hears()
    one.close()


async def cuts(_: Echo, proxy: Proxy) -> None:
    one = await client(proxy)
    one.say(b"word")
    assert b"word" == await one.hears()
    proxy.cut()
    assert b"" == await one.hears()
    another = await client(proxy)
    assert b"" == await another.hears()
    proxy.heal()
    await passes(_, proxy)
    one.close()
    another.close()


async def stalls(_: Echo, proxy: Proxy) -> None:
    one = await client(proxy)
    one.say(b"before ")
    assert b"before " == await one.hears()
    proxy.stall()
    one.say(b"word")
    another = await client(proxy)
    another.say(b"new")
    assert (None, None) == (await one.hears(), await another.hears())
    proxy.heal()
    assert (b"word", b"new") == (await one.hears(), await another.hears())
    one.close()
    another.close()


async def leaves_half_open(echo: Echo, proxy: Proxy) -> None:
    one = await client(proxy)
    one.say(b"before ")
    assert b"before " == await one.hears()
    proxy.half_open()
    one.say(b"word")
    assert await one.hears() is None
    await passes(echo, proxy)  # a new connection
    assert b"before word" == echo.heard  # the one of the new connection
    proxy.heal()
    assert b"" == await one.hears()
    one.close()


@pytest.mark.parametrize("does", [passes, cuts, stalls, leaves_half_open])
def test_what_a_proxy_does(does: Callable[[Echo, Proxy], Awaitable[Any]]) -> None:
    async def run() -> None:
        echo = Echo()
        async with echo as proxy:
            await does(echo, proxy)

    asyncio.run(run())
