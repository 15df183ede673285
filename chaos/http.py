"""A client that costs little: it shares the cores with what it loads, and thousands of its requests wait at a time."""

import asyncio
import time
from collections.abc import Mapping
from http import HTTPStatus

import httptools
import msgspec

#: Less than what the API leaves an idle connection, so that none is closed just when it is taken up again.
IDLE_SECONDS = 5.0


class Response(msgspec.Struct, frozen=True):
    """An answer; the names of its headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Client:
    """Speaks to one address; each request has a connection to itself, which the next one takes up."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._idle: list[_Connection] = []  # the one used last at the end

    async def request(
        self, method: str, path: str, *, headers: Mapping[str, str], body: bytes = b"", seconds: float
    ) -> Response:
        """Return the answer; raises `OSError` when none came within `seconds`."""
        head = {"host": f"{self._host}:{self._port}", "content-length": len(body), **headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        async with asyncio.timeout(seconds):
            connection = self._kept() or await self._connected()
            try:
                response = await connection.ask(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body)
            except BaseException:
                connection.abort()
                raise
        if connection.reusable:
            self._idle.append(connection)
        else:
            connection.abort()
        return response

    def close(self) -> None:
        """Close the connections that nobody uses."""
        for connection in self._idle:
            connection.abort()
        self._idle.clear()

    def _kept(self) -> "_Connection | None":
        while self._idle:
            connection = self._idle.pop()
            if connection.idle_seconds < IDLE_SECONDS and connection.reusable:
                return connection
            connection.abort()
        return None

    async def _connected(self) -> "_Connection":
        _, connection = await asyncio.get_running_loop().create_connection(_Connection, self._host, self._port)
        return connection


class _Connection(asyncio.Protocol):
    """A connection, and what its parser has of the answer to the request in flight."""

    def __init__(self) -> None:
        self.reusable = False
        self._used = 0.0
        self._answer: asyncio.Future[Response] | None = None
        self._begin()

    @property
    def idle_seconds(self) -> float:
        """How long ago its last answer came."""
        return time.monotonic() - self._used

    async def ask(self, request: bytes) -> Response:
        """Send a request and return its answer; raises `OSError`."""
        self._begin()
        self._answer = answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        response: Response = await answer
        return response

    def abort(self) -> None:
        """Close at once."""
        self.reusable = False
        self._transport.abort()

    def _begin(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Parse what has come."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(OSError(f"no answer of HTTP: {error}"))

    def connection_lost(self, _exc: Exception | None) -> None:
        """Fail the request in flight."""
        self._fail(ConnectionResetError("the connection was closed"))

    def _fail(self, error: OSError) -> None:
        self.reusable = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header."""
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        """Keep a piece of the body."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Give the answer to whoever waits for it."""
        status = self._parser.get_status_code()
        if status < HTTPStatus.OK or self._answer is None or self._answer.done():
            return
        self.reusable, self._used = self._parser.should_keep_alive(), time.monotonic()
        self._answer.set_result(Response(status, self._headers, b"".join(self._body)))
