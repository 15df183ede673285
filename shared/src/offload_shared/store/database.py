"""Opens the store, SQLite or PostgreSQL, and runs work in transactions."""

import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar, cast

from sqlalchemy import URL, Connection, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, InternalError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import QueuePool

from offload_shared import failpoints
from offload_shared.errors import CommitUnknown, SettingsInvalid, StoreUnavailable
from offload_shared.settings import without_password
from offload_shared.store.clock import SQLITE_FORMAT
from offload_shared.store.silence import SilenceWatch

T = TypeVar("T")

#: How long a statement may wait for a connection, and SQLite for its one writer, before the store counts as down.
PATIENCE_SECONDS = 10.0
#: Between two tries to become that writer.
TURN_SECONDS = 0.002
CONNECT_SECONDS = 2
#: PostgreSQL ends a statement that takes longer, and one that waits so long for another's lock. The latter is part of a
#: lease, which runs from the moment it is asked for: what has waited for longer than a short lease is given up at once.
STATEMENT_SECONDS = 10
LOCK_SECONDS = 2
#: It also ends a transaction whose process has stopped in the middle of it: its locks would hold up everybody else.
IDLE_SECONDS = 10
#: A connection on which some work takes longer is cut: each limit of the server's own has passed by then.
SILENCE_SECONDS = 15.0

_UNAVAILABLE = (OperationalError, InterfaceError, InternalError, PoolTimeout)

_log = logging.getLogger(__name__)


class Database:
    """The store's connections, shared by the threads of a process; connects on first use.

    Raises `SettingsInvalid` for a URL that cannot be read, `StoreUnavailable` when SQLite's folder cannot be made.
    `clock` gives the time in seconds since the epoch to SQLite, which has no clock fine enough; PostgreSQL has its own.
    """

    def __init__(self, url: str, *, connections: int = 8, clock: Callable[[], float] = time.time) -> None:
        self.url = _parsed(url)
        self.sqlite = self.url.get_backend_name() == "sqlite"
        if self.sqlite:
            _make_folder(Path(self.url.database or "").parent)
        try:
            self._engine = create_engine(
                self.url,
                pool_size=connections,
                max_overflow=0,
                pool_timeout=PATIENCE_SECONDS,
                connect_args=_sqlite_arguments() if self.sqlite else postgresql_arguments(),
            )
        except ArgumentError as error:
            raise _unusable(self.url, error) from None
        if self.sqlite:
            _prepare_sqlite(self._engine, clock)
        else:
            event.listen(self._engine, "connect", self._limit_statements)
        # SQLite lets one write at a time, and those that wait look again now and then, in no order: so it is left with
        # one thread of each process.
        self._turn: Lock | nullcontext[None] = Lock() if self.sqlite else nullcontext()
        self._silence = SilenceWatch(SILENCE_SECONDS)
        self._reading = self._engine.execution_options(isolation_level="AUTOCOMMIT")

    def write(self, work: Callable[[Connection], T], *, bounded: bool = True) -> T:
        """Run `work` in one transaction and commit it; once more when a stale connection fails before the commit.

        `bounded` work counts as failed when the store says nothing for `SILENCE_SECONDS`. Raises `StoreUnavailable`
        when nothing was written, `CommitUnknown` when that is not known.
        """
        try:
            return self._write(work, bounded=bounded)
        except _Stale:
            return self._write(work, bounded=bounded)

    def _write(self, work: Callable[[Connection], T], *, bounded: bool) -> T:
        with self._turn, self._connected(self._engine, bounded=bounded) as connection:
            try:
                transaction = connection.begin()
                answer = work(connection)
                failpoints.writing(work)
            except _UNAVAILABLE as error:
                raise _unavailable(error) from error
            try:
                transaction.commit()
            except DBAPIError as error:
                _log.warning("the store went away inside a commit: %s", error.orig)
                raise CommitUnknown("the store went away inside a commit") from error
            failpoints.written(work)
            return answer

    def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work`, which only reads, without a transaction; raises `StoreUnavailable`."""
        try:
            return self._read(work)
        except _Stale:
            return self._read(work)

    def _read(self, work: Callable[[Connection], T]) -> T:
        with self._connected(self._reading) as connection:
            try:
                return work(connection)
            except _UNAVAILABLE as error:
                raise _unavailable(error) from error

    def ping(self) -> None:
        """Ask the store for a sign of life; raises `StoreUnavailable`."""
        self.read(lambda connection: connection.execute(text("SELECT 1")))

    @property
    def connections(self) -> int:
        """How many connections are open: each is made when one more than ever before is needed, and is kept."""
        pool = cast("QueuePool", self._engine.pool)
        return pool.checkedin() + pool.checkedout()

    @property
    def connections_in_use(self) -> int:
        """How many of the connections somebody works with."""
        return cast("QueuePool", self._engine.pool).checkedout()

    def dispose(self) -> None:
        """Close all connections that are not in use."""
        self._engine.dispose()
        self._silence.end()

    @contextmanager
    def _connected(self, engine: Any, *, bounded: bool = True) -> Iterator[Connection]:
        try:
            connection: Connection = engine.connect()
        except _UNAVAILABLE as error:
            raise _unavailable(error) from error
        except (ArgumentError, ProgrammingError) as error:  # the driver has looked at the URL only now
            raise _unusable(self.url, error) from None
        # Until the connection is back in the pool: what it leaves open is rolled back on the way.
        with self._watched(connection.connection.driver_connection, bounded=bounded), connection:
            yield connection

    def _watched(self, driver: Any, *, bounded: bool = True) -> AbstractContextManager[None]:
        return self._silence.watch(driver) if bounded and not self.sqlite else nullcontext()

    def _limit_statements(self, driver: Any, _record: object) -> None:
        # Sent as a statement rather than as a start-up parameter, which connection poolers refuse.
        with self._watched(driver), driver.cursor() as cursor:
            cursor.execute(
                f"SET statement_timeout = '{STATEMENT_SECONDS}s'; SET lock_timeout = '{LOCK_SECONDS}s'; "
                f"SET idle_in_transaction_session_timeout = '{IDLE_SECONDS}s'"
            )
            driver.commit()


class _Stale(StoreUnavailable):
    """A pooled connection turned out to be dead before anything was written: worth one more try."""


def _unavailable(error: Exception) -> StoreUnavailable:
    kind = _Stale if isinstance(error, DBAPIError) and error.connection_invalidated else StoreUnavailable
    cause = getattr(error, "orig", None) or error
    return kind(f"the store is not available: {' '.join(str(cause).split())}")


def _unusable(url: URL, error: Exception) -> SettingsInvalid:
    cause = " ".join(str(getattr(error, "orig", None) or error).split())
    return SettingsInvalid(f"the store's URL {without_password(url.render_as_string())!r} cannot be used: {cause}")


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # the latter for a port that is no number
        raise SettingsInvalid(f"the store's URL {without_password(url)!r} cannot be read") from None
    if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise SettingsInvalid(f"the store's URL {url!r} names no file: API and workers could not share it")
    return parsed


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreUnavailable(f"the store's folder {str(folder)!r} cannot be made: {error.strerror}") from None


def _sqlite_arguments() -> dict[str, Any]:
    return {"timeout": PATIENCE_SECONDS, "check_same_thread": False, "isolation_level": None}


def postgresql_arguments() -> dict[str, Any]:
    """Return how to connect to PostgreSQL, beside its address."""
    # A server that vanished without a word is noticed within seconds, not after the kernel's two hours.
    return {
        "connect_timeout": CONNECT_SECONDS,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": 10_000,
        "application_name": "offload",
    }


def _prepare_sqlite(engine: Any, clock: Callable[[], float]) -> None:
    def offload_clock(seconds: float | None) -> str | None:
        if seconds is None:
            return None
        return datetime.fromtimestamp(clock() + seconds, UTC).strftime(SQLITE_FORMAT)

    def on_connect(connection: sqlite3.Connection, _record: object) -> None:
        connection.create_function("offload_clock", 1, offload_clock)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")  # a 202 rests on it
        connection.execute("PRAGMA foreign_keys=ON")

    def on_begin(connection: Connection) -> None:
        # Taking the write lock at once: a transaction that reads first could not be upgraded, only refused.
        if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
            _begin_immediate(connection)

    event.listen(engine, "connect", on_connect)
    event.listen(engine, "begin", on_begin)


def _begin_immediate(connection: Connection) -> None:
    # SQLite's own wait looks again ever more seldom, at last ten times a second, so who has waited waits longer.
    ends = time.monotonic() + PATIENCE_SECONDS
    driver: Any = connection.connection.driver_connection  # SQLAlchemy's own way would cost more than these do
    driver.execute("PRAGMA busy_timeout = 0")
    try:
        while True:
            try:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            except OperationalError as error:
                if not _is_busy(error) or time.monotonic() > ends:
                    raise
                time.sleep(TURN_SECONDS)
            else:
                return
    finally:
        driver.execute(f"PRAGMA busy_timeout = {PATIENCE_SECONDS * 1000:.0f}")


def _is_busy(error: OperationalError) -> bool:
    return getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY
