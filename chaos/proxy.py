"""A TCP proxy that can be told to fail in the ways networks do."""

import asyncio
import contextlib
import socket
import struct
from enum import Enum

CHUNK_BYTES = 65_536
#: Closing so sends a reset instead of a farewell.
_RESET = struct.pack("ii", 1, 0)


class Mode(Enum):
    """What the network does at the moment."""

    PASSING = "passing"
    CUT = "cut"  # connections are reset, and refused
    STALLED = "stalled"  # nothing arrives, and nothing is lost: it goes on where it stopped
    HALF_OPEN = "half-open"  # what old connections send vanishes; new ones pass


class Link:
    """One connection through the proxy."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self._ends = (client, server)
        self.swallows = False

    def reset(self) -> None:
        """Reset both ends."""
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            end.transport.abort()


class Proxy:
    """Listens on a port of loopback and passes on to another address; runs in the event loop it was started in."""

    def __init__(self, host: str, port: int, *, listens_on: int = 0) -> None:
        self._host = host
        self._target_port = port
        self.port = listens_on
        self.mode = Mode.PASSING
        self._server: asyncio.Server | None = None
        self._links: set[Link] = set()
        self._passing = asyncio.Event()
        self._passing.set()

    @property
    def connections(self) -> int:
        """How many connections there are."""
        return len(self._links)

    async def start(self) -> None:
        """Begin to listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Reset every connection and listen no more."""
        if self._server is not None:
            self._server.close()
        self._passing.set()
        self._reset_all()
        await asyncio.sleep(0)

    def cut(self) -> None:
        """Reset every connection, and every new one until healed."""
        self.mode = Mode.CUT
        self._reset_all()

    def stall(self) -> None:
        """Hold back every byte, also those of new connections, until healed."""
        self.mode = Mode.STALLED
        self._passing.clear()

    def half_open(self) -> None:
        """Swallow what the connections there are send from now on, and leave them open; new ones work."""
        self.mode = Mode.HALF_OPEN
        for link in self._links:
            link.swallows = True

    def heal(self) -> None:
        """Pass everything again; half-open connections, whose streams have holes, are reset."""
        self.mode = Mode.PASSING
        self._passing.set()
        for link in [link for link in self._links if link.swallows]:
            link.reset()

    def _reset_all(self) -> None:
        for link in list(self._links):
            link.reset()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._passing.wait()
            # Who gave up while nothing passed is not connected after all: its first packet would have been lost.
            if self.mode is Mode.CUT or getattr(reader, "_eof", False):
                Link(writer, writer).reset()
                return
            upstream_reader, upstream = await asyncio.open_connection(self._host, self._target_port)
        except OSError:
            Link(writer, writer).reset()
            return
        link = Link(writer, upstream)
        self._links.add(link)
        try:
            # The first end to close closes the other: neither protocol uses half-closed connections.
            pumps = [self._pump(link, reader, upstream), self._pump(link, upstream_reader, writer)]
            await asyncio.wait([asyncio.create_task(pump) for pump in pumps])
        finally:
            self._links.discard(link)

    async def _pump(self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while content := await reader.read(CHUNK_BYTES):
                await self._passing.wait()
                if not link.swallows:
                    writer.write(content)
                    await writer.drain()
        if not link.swallows:
            writer.close()
