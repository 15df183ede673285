"""What an attempt prints and logs: gathered here, whoever wrote it, until the lease keeper has stored it."""

import io
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TextIO

from offload_shared.job import Output
from offload_shared.store.outputs import KEPT_BYTES

LINE_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"

#: The output of the attempt whose handler runs on this thread, or in this coroutine.
_current: ContextVar["OutputBuffer | None"] = ContextVar("output", default=None)


class OutputBuffer:
    """The last bytes of an attempt's output, and how many of them are stored; any thread may add to it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bytes = bytearray()
        self._start = 0  # bytes dropped before these
        self._stored = 0  # bytes of the whole output that are in the store

    def add(self, chunk: bytes) -> None:
        """Add what was printed."""
        with self._lock:
            self._bytes += chunk
            if len(self._bytes) > 2 * KEPT_BYTES:
                self._drop(len(self._bytes) - KEPT_BYTES)

    def line(self, text: str) -> None:
        """Add a line of text."""
        self.add(f"{text}\n".encode(errors="replace"))

    def pending(self) -> Output | None:
        """Return what is not stored yet, as far as it is still here."""
        with self._lock:
            self._drop(max(0, len(self._bytes) - KEPT_BYTES))
            start = max(self._start, self._stored)
            content = bytes(self._bytes[start - self._start :])
        return Output(start, content) if content else None

    def stored(self, part: Output) -> None:
        """Note that the store has this part."""
        with self._lock:
            self._stored = max(self._stored, part.end)

    def tail(self, size: int) -> str:
        """Return the end of it as text."""
        with self._lock:
            return self._bytes[-size:].decode("utf-8", "replace").strip()

    def _drop(self, size: int) -> None:
        del self._bytes[:size]
        self._start += size


@contextmanager
def captured_by(output: OutputBuffer) -> Iterator[None]:
    """Let what this thread or coroutine prints and logs go to `output`, once `install` was called."""
    token = _current.set(output)
    try:
        yield
    finally:
        _current.reset(token)


def install() -> None:
    """Tell apart, from now on, what handlers in this process print and log from what the worker itself does."""
    logging.getLogger().addHandler(_Lines())
    sys.stdout, sys.stderr = _printed(sys.stdout), _printed(sys.stderr)


def _printed(stream: TextIO) -> io.TextIOWrapper:
    printed: Any = _Printed(stream)
    return io.TextIOWrapper(printed, encoding="utf-8", errors="replace", write_through=True)


class _Printed(io.BufferedIOBase):
    """A standard stream of the process; inside an attempt it is that attempt's."""

    def __init__(self, stream: TextIO) -> None:
        self._text = stream  # kept: its end would close what is below it
        self._stream = stream.buffer

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        output = _current.get()
        if output is None:
            written = self._stream.write(content)
            self._stream.flush()
            return written
        output.add(bytes(content))
        return len(content)

    def flush(self) -> None:
        self._stream.flush()

    def fileno(self) -> int:
        return self._stream.fileno()


class _Lines(logging.Handler):
    """Adds what a handler logs to its attempt's output; the worker's own records are for the operator alone."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter(LINE_FORMAT))

    def emit(self, record: logging.LogRecord) -> None:
        output = _current.get()
        if output is not None and not is_the_workers(record):
            output.line(self.format(record))


def is_the_workers(record: logging.LogRecord) -> bool:
    """Whether a log record comes from the worker's own code, which clients are not shown."""
    handlers = record.name.startswith("offload_worker.handlers.")
    return record.name.partition(".")[0] in ("offload_worker", "offload_shared", "dramatiq", "pika") and not handlers
