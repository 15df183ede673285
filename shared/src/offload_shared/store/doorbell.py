"""Wakes the processes that share a store when it has changed, so that none of them has to look often.

A ring says only that it is worth to look. One that is lost costs time and nothing else: who listens looks by itself
every now and then.
"""

import logging
import os
import select
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import Protocol

import psycopg
from sqlalchemy import text

from offload_shared.errors import StoreUnavailable
from offload_shared.ids import new_id
from offload_shared.store.database import Database, postgresql_arguments

#: Between two rings: what changes meanwhile is told of by the second.
GAP_SECONDS = 0.002
#: Between two tries to listen to a store that does not answer.
PAUSE_SECONDS = 1.0
#: After which a listener looks whether it is to end.
TURN_SECONDS = 0.2
END_SECONDS = 2.0

_log = logging.getLogger(__name__)


class Topic(StrEnum):
    """What has happened."""

    ADDED = "added"  # there are jobs to run, of which no broker tells
    ENDED = "ended"


class _Line(Protocol):
    """The way from those who ring to those who listen."""

    def ring(self) -> None:
        """Wake all that listen now; raises `OSError`, `StoreUnavailable`."""

    def listen(self, ended: threading.Event) -> Iterator[None]:
        """Yield for each ring, and at the beginning, when one may have been missed; raises as `ring`."""


class Doorbell:
    """One topic of one store. Ringing waits for nothing: a thread does it."""

    def __init__(self, database: Database, topic: Topic) -> None:
        self._topic = topic
        self._line: _Line = _Pipes(database, topic) if database.sqlite else _Notifications(database, topic)
        self._rung = threading.Event()
        self._ended = threading.Event()
        self._threads: list[threading.Thread] = []
        self._starting = threading.Lock()
        self._rings = False

    def ring(self) -> None:
        """Wake all that listen to this topic, in a moment."""
        if not self._rings:
            with self._starting:
                if not self._rings:
                    self._rings = True
                    self._start(self._keep_ringing, "doorbell")
        self._rung.set()

    def listen(self, answer: Callable[[], object]) -> None:
        """Call `answer`, on a thread of its own, after each ring, and once in the beginning."""
        self._start(lambda: self._keep_listening(answer), "listener")

    def close(self) -> None:
        """Ring and listen no more."""
        self._ended.set()
        self._rung.set()
        for thread in self._threads:
            thread.join(END_SECONDS)

    def _start(self, run: Callable[[], None], name: str) -> None:
        thread = threading.Thread(target=run, name=f"{name}: {self._topic}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _keep_ringing(self) -> None:
        while not self._ended.is_set():
            self._rung.wait()
            self._rung.clear()
            try:
                self._line.ring()
            except (OSError, StoreUnavailable) as error:
                _log.debug("nobody was told that jobs were %s: %s", self._topic, error)
            self._ended.wait(GAP_SECONDS)

    def _keep_listening(self, answer: Callable[[], object]) -> None:
        while not self._ended.is_set():
            try:
                for _ in self._line.listen(self._ended):
                    answer()
            except (OSError, StoreUnavailable) as error:
                _log.debug("nobody tells when jobs are %s, which is looked for now and then: %s", self._topic, error)
                self._ended.wait(PAUSE_SECONDS)


class _Pipes:
    """Named pipes in a folder beside SQLite's file, one for each process that listens."""

    def __init__(self, database: Database, topic: Topic) -> None:
        self._folder = Path(f"{database.url.database}-doorbells")
        self._topic = topic

    def ring(self) -> None:
        if not self._folder.is_dir():  # nobody has ever listened
            return
        for pipe in self._folder.glob(f"{self._topic}-*"):
            try:
                descriptor = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
            except OSError:  # its process was killed
                pipe.unlink(missing_ok=True)
                continue
            try:
                os.write(descriptor, b"!")
            except BlockingIOError:
                pass  # it has rings enough to answer
            finally:
                os.close(descriptor)

    def listen(self, ended: threading.Event) -> Iterator[None]:
        with self._pipe() as descriptor:
            while not ended.is_set():
                yield
                while not (ended.is_set() or select.select([descriptor], [], [], TURN_SECONDS)[0]):
                    pass
                with suppress(BlockingIOError):
                    os.read(descriptor, select.PIPE_BUF)

    @contextmanager
    def _pipe(self) -> Iterator[int]:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        # Made under another name, and open before it can be found: nobody takes it for a dead one's.
        made = self._folder / f".{new_id()}"
        pipe = self._folder / f"{self._topic}-{made.name[1:]}"
        os.mkfifo(made, mode=0o600)
        try:
            descriptor = os.open(made, os.O_RDWR | os.O_NONBLOCK)  # also writing: else it would end with each who rings
            made.rename(pipe)
        except OSError:
            made.unlink(missing_ok=True)
            raise
        try:
            yield descriptor
        finally:
            pipe.unlink(missing_ok=True)
            os.close(descriptor)


class _Notifications:
    """PostgreSQL's own, between all that are connected to one database."""

    def __init__(self, database: Database, topic: Topic) -> None:
        self._database = database
        self._channel = f"offload_{topic}"

    def ring(self) -> None:
        self._database.read(lambda connection: connection.execute(text(f"NOTIFY {self._channel}")))

    def listen(self, ended: threading.Event) -> Iterator[None]:
        address = self._database.url.set(drivername="postgresql").render_as_string(hide_password=False)
        try:
            with psycopg.connect(address, autocommit=True, **postgresql_arguments()) as connection:
                connection.execute(f"LISTEN {self._channel}")
                while not ended.is_set():
                    yield
                    while not (ended.is_set() or any(connection.notifies(timeout=TURN_SECONDS, stop_after=1))):
                        pass
        except psycopg.Error as error:
            raise StoreUnavailable(f"the store is not available: {error}") from error
