"""uvicorn's HTTP/1.1 protocol with a limit on headers, and with problem details where no application is reached."""

import asyncio
from http import HTTPStatus
from typing import Any, cast

import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from offload_api.connections import Connections
from offload_api.problems import MEDIA_TYPE, ProblemDetails

LARGEST_HEADERS_BYTES = 64 * 1024
SLOWEST_HEADERS_SECONDS = 10.0
LONGEST_FAREWELL_SECONDS = 5.0
#: For a client to take in what was sent to it, before its connection is closed: it holds memory, and a place.
SLOWEST_READER_SECONDS = 60.0
#: For the rest of a body that was answered before its end; and between two requests.
LONGEST_REST_SECONDS = 10.0
#: After which a client that has too many connections may try again.
CROWDED_RETRY_SECONDS = 10


class Protocol(HttpToolsProtocol):
    """A connection: one too many is refused, and one that dribbles its headers in, or never ends them, is closed."""

    def __init__(self, *arguments: Any, places: Connections | None = None, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._places = places
        self._place: str | None = None  # the client's address, while its connection is counted
        self._is_told = False  # that there is no place for it
        self._headers_bytes: int | None = 0  # of the request that begins; None once its headers are complete
        self._headers_timer: asyncio.TimerHandle | None = None
        self._farewell_timer: asyncio.TimerHandle | None = None  # runs once the connection's last answer is written
        self._unread = 0  # bytes, when that timer began
        self._reader_timer: asyncio.TimerHandle | None = None  # runs while more was written than the client has read
        self._refused: str | None = None  # why what came last is no HTTP
        self._rest_timer: asyncio.TimerHandle | None = None  # runs while a body goes on behind its answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for a request."""
        super().connection_made(cast("asyncio.Transport", transport))
        if self._is_one_too_many():
            self._turn_away()
        else:
            self._begin_headers()

    def _turn_away(self) -> None:
        self._is_told = self._places is not None and self._places.begin_telling()
        if self._is_told:
            detail = "Too many connections are open; close some, or use one for many requests."
            self._refuse(HTTPStatus.TOO_MANY_REQUESTS, detail, retry_seconds=CROWDED_RETRY_SECONDS)
        else:
            self.transport.abort()

    def _is_one_too_many(self) -> bool:
        if self._places is None:
            return False
        client = self.client[0] if self.client else ""
        if not self._places.take_place(client):
            return True
        self._place = client
        return False

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
        if self._places is not None and self._place is not None:
            self._places.give_back(self._place)
            self._place = None
        if self._places is not None and self._is_told:
            self._places.end_telling()
            self._is_told = False
        self._end_headers()
        self._end_reader_timer()
        self._end_rest_timer()
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
        elif self._is_idle() and self.timeout_keep_alive_task is None:
            # A line end between two requests is no request, but uvicorn has stopped to wait for one.
            self.timeout_keep_alive_task = self.loop.call_later(LONGEST_REST_SECONDS, self.timeout_keep_alive_handler)

    def _is_idle(self) -> bool:
        answered = self.cycle is not None and self.cycle.response_complete
        return answered and self._rest_timer is None and not self.transport.is_closing()

    def on_message_begin(self) -> None:
        """Begin to count, also for a further request of the connection."""
        super().on_message_begin()
        if self._headers_bytes is None:
            self._begin_headers()

    def on_headers_complete(self) -> None:
        """Let the request begin."""
        self._end_headers()
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """Wait no longer than for any request for what is left of a body that nobody will read."""
        super().on_response_complete()
        if self.cycle.response_complete and self._refused is not None:
            self._refuse(HTTPStatus.BAD_REQUEST, self._refused)
        elif self.cycle.response_complete and self.cycle.more_body and not self.transport.is_closing():
            self._rest_timer = self.loop.call_later(LONGEST_REST_SECONDS, self.transport.close)

    def on_message_complete(self) -> None:
        """Wait for the next request."""
        self._end_rest_timer()
        super().on_message_complete()

    def _end_rest_timer(self) -> None:
        if self._rest_timer is not None:
            self._rest_timer.cancel()
            self._rest_timer = None

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP; behind a request that is whole, only once that is answered."""
        self._refused = msg
        if self.cycle is None or self.cycle.response_complete or self.cycle.more_body:
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

    def _refuse(self, status: HTTPStatus, detail: str, *, retry_seconds: int | None = None) -> None:
        """Answer, and close the connection once the client has, or has had the time to read it.

        To close while the client still sends would reset the connection, and the answer be lost with it.
        """
        if self.transport.is_closing() or self._farewell_timer is not None:
            return
        self._end_headers()
        kind = status.phrase.lower().replace(" ", "-")
        details = ProblemDetails(type=f"/problems/{kind}", title=status.phrase, status=status, detail=detail)
        body = msgspec.json.encode(details)
        head = f"content-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n"
        if retry_seconds is not None:
            head += f"retry-after: {retry_seconds}\r\n"
        self.transport.write(STATUS_LINE[status] + f"{head}\r\n".encode() + body)
        self.transport.write_eof()
        self._farewell_timer = self.loop.call_later(LONGEST_FAREWELL_SECONDS, self.transport.close)
