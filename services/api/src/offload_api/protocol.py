"""uvicorn's HTTP/1.1 protocol with a limit on headers, and with problem details where no application is reached."""

import asyncio
from http import HTTPStatus
from typing import Any, cast

import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from offload_api.problems import MEDIA_TYPE, ProblemDetails

LARGEST_HEADERS_BYTES = 64 * 1024
SLOWEST_HEADERS_SECONDS = 10.0
LONGEST_FAREWELL_SECONDS = 5.0
#: For a client to take in what was sent to it, before its connection is closed: it holds memory, and a place.
SLOWEST_READER_SECONDS = 60.0


class Protocol(HttpToolsProtocol):
    """A connection: one that dribbles its headers in, or never ends them, is closed."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._headers_bytes: int | None = 0  # of the request that begins; None once its headers are complete
        self._headers_timer: asyncio.TimerHandle | None = None
        self._farewell_timer: asyncio.TimerHandle | None = None  # runs once the connection's last answer is written
        self._unread = 0  # bytes, when that timer began
        self._reader_timer: asyncio.TimerHandle | None = None  # runs while more was written than the client has read

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for a request."""
        super().connection_made(cast("asyncio.Transport", transport))
        self._begin_headers()

    def pause_writing(self) -> None:
        """Begin to wait for the client to read."""
        super().pause_writing()
        self._watch_reader()

    def resume_writing(self) -> None:
        """Go on: it has read."""
        super().resume_writing()
        self._end_reader_timer()

    def _watch_reader(self) -> None:
        self._unread = self.transport.get_write_buffer_size()
        self._reader_timer = self.loop.call_later(SLOWEST_READER_SECONDS, self._look_at_reader)

    def _look_at_reader(self) -> None:
        # However slowly it reads, it may: only who reads nothing is let go.
        if self.transport.get_write_buffer_size() < self._unread:
            self._watch_reader()
        else:
            self.transport.abort()

    def _end_reader_timer(self) -> None:
        if self._reader_timer is not None:
            self._reader_timer.cancel()
            self._reader_timer = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timers."""
        self._end_headers()
        self._end_reader_timer()
        if self._farewell_timer is not None:
            self._farewell_timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what belongs to headers: the parser would gather them without limit."""
        if self._farewell_timer is not None:
            return
        super().data_received(data)
        if self._headers_bytes is not None:
            self._headers_bytes += len(data)
            if self._headers_bytes > LARGEST_HEADERS_BYTES:
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "The request's headers are too large.")

    def on_message_begin(self) -> None:
        """Begin to count, also for a further request of the connection."""
        super().on_message_begin()
        if self._headers_bytes is None:
            self._begin_headers()

    def on_headers_complete(self) -> None:
        """Let the request begin."""
        self._end_headers()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP."""
        self._refuse(HTTPStatus.BAD_REQUEST, msg)

    def _begin_headers(self) -> None:
        self._headers_bytes = 0
        self._headers_timer = self.loop.call_later(SLOWEST_HEADERS_SECONDS, self._too_slow)

    def _end_headers(self) -> None:
        self._headers_bytes = None
        if self._headers_timer is not None:
            self._headers_timer.cancel()
            self._headers_timer = None

    def _too_slow(self) -> None:
        self._refuse(HTTPStatus.REQUEST_TIMEOUT, "The request did not arrive in time.")

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        """Answer, and close the connection once the client has, or has had the time to read it.

        To close while the client still sends would reset the connection, and the answer be lost with it.
        """
        if self.transport.is_closing() or self._farewell_timer is not None:
            return
        self._end_headers()
        kind = status.phrase.lower().replace(" ", "-")
        details = ProblemDetails(type=f"/problems/{kind}", title=status.phrase, status=status, detail=detail)
        body = msgspec.json.encode(details)
        head = f"content-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        self.transport.write(STATUS_LINE[status] + head.encode() + body)
        self.transport.write_eof()
        self._farewell_timer = self.loop.call_later(LONGEST_FAREWELL_SECONDS, self.transport.close)
