"""Cuts connections whose server has gone silent.

TCP notices a peer that is gone, and a server ends its own slow statements. Nobody notices what stands between the two,
acknowledges every byte, and answers nothing: without this, whoever waits for it waits for ever.
"""

import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Lock, Thread
from typing import Protocol

LOOK_SECONDS = 0.5

_log = logging.getLogger(__name__)


class Connection(Protocol):
    """A driver's connection."""

    def fileno(self) -> int:
        """Return its socket's descriptor."""


class SilenceWatch:
    """Cuts each connection that has been in use for longer than `seconds`, which fails whoever waits for it."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._since: dict[int, float] = {}
        self._lock = Lock()
        self._ended = Event()
        self._thread: Thread | None = None

    @contextmanager
    def watch(self, connection: Connection) -> Iterator[None]:
        """Let what is done inside take its time, and no longer."""
        # A copy: should the connection be closed meanwhile, its number may be that of another socket.
        copy = os.dup(connection.fileno())
        with self._lock:
            self._since[copy] = time.monotonic()
            if self._thread is None:
                self._ended = Event()
                self._thread = Thread(target=self._run, args=[self._ended], name="silence watch", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                self._since.pop(copy, None)
                os.close(copy)

    def end(self) -> None:
        """End the thread, until there is something to watch again."""
        with self._lock:
            self._ended.set()
            self._thread = None

    def _run(self, ended: Event) -> None:
        while not ended.wait(min(LOOK_SECONDS, self._seconds)):
            with self._lock:
                overdue = time.monotonic() - self._seconds
                for copy in [each for each, since in self._since.items() if since < overdue]:
                    del self._since[copy]
                    _cut(copy)


def _cut(copy: int) -> None:
    _log.warning("the store has said nothing for too long on a connection, which is cut")
    connection = socket.socket(fileno=copy)
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.detach()  # the number is its watcher's to close
