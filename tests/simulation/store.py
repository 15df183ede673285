"""The store as a simulated process reaches it: the real one, on SQLite, with faults around its commits."""

import contextlib
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from sqlalchemy import Connection

from offload_shared.errors import CommitUnknown, StoreUnavailable
from offload_shared.store.database import Database
from offload_shared.store.migrate import migrate
from tests.simulation.scheduler import Process

if TYPE_CHECKING:
    from tests.simulation.world import World

T = TypeVar("T")

#: Emptied in this order.
TABLES = ("output", "artifact", "attempt", "leftover", "step_end", "dependency", "job", "gone", "file")


def memory_folder() -> str | None:
    """Return where temporary files lie in memory, unless another place was chosen; None leaves it to the system."""
    return "/dev/shm" if tempfile.tempdir is None and Path("/dev/shm").is_dir() else None


class RealStore:
    """A migrated SQLite file in memory, used by one seed after another; its clock is the simulated one."""

    def __init__(self, *, triggers: bool, unique_keys: bool) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="offload-simulation-", dir=memory_folder())
        path = Path(self._folder.name) / "offload.db"
        self.clock: Callable[[], float] = lambda: 0.0
        self.database = Database(f"sqlite:///{path}", connections=32, clock=self._now)
        migrate(self.database)
        self.observed = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.observed.row_factory = sqlite3.Row
        if not triggers:
            names = self.observed.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
            for row in names:
                self.observed.execute(f"DROP TRIGGER {row['name']}")
        if not unique_keys:
            self.observed.execute("DROP INDEX uq_job_idempotency_key")

    def _now(self) -> float:
        return self.clock()

    @contextlib.contextmanager
    def emptied(self, clock: Callable[[], float]) -> Iterator["RealStore"]:
        """Give the store without a row in it to a seed."""
        for table in TABLES:
            self.observed.execute(f"DELETE FROM {table}")
        self.clock = clock
        yield self


@cache
def real_store(*, triggers: bool = True, unique_keys: bool = True) -> RealStore:
    """Return this operating system process's store, with its own guards or without."""
    return RealStore(triggers=triggers, unique_keys=unique_keys)


class SimulatedDatabase(Database):
    """What one process holds of the store; each call takes time, and may fail in every way a call can."""

    def __init__(self, world: "World", process: Process, real: Database) -> None:
        self.sqlite = real.sqlite
        self._world = world
        self._process = process
        self._real = real

    def read(self, work: Callable[[Connection], T]) -> T:
        """Read; between two statements of one read others may write."""
        self._reach()
        return self._real.read(lambda connection: work(cast("Connection", _Reading(connection, self._world))))

    def write(self, work: Callable[[Connection], T], *, bounded: bool = True) -> T:
        """Write in one transaction, which nothing interrupts: SQLite has one writer."""
        world, process = self._world, self._process
        self._reach()
        world.may_crash(process, "before a commit")
        if world.chance(world.profile.unknown_not_written):
            world.count("commit unknown, not written")
            raise CommitUnknown("simulated: not written")
        answer = self._real.write(work, bounded=bounded)
        world.checker.committed(process)
        world.may_crash(process, "after a commit")
        if world.chance(world.profile.unknown_written):
            world.count("commit unknown, written")
            raise CommitUnknown("simulated: written")
        world.latency()
        return answer

    def _reach(self) -> None:
        world = self._world
        world.latency()
        if world.store_is_away(self._process):
            raise StoreUnavailable("simulated")


class _Reading:
    """A connection for reading that lets others have their turn between two statements."""

    def __init__(self, connection: Connection, world: "World") -> None:
        self._connection = connection
        self._world = world
        self._statements = 0

    def execute(self, *arguments: Any) -> Any:
        self._statements += 1
        if self._statements > 1:
            self._world.latency()
        return self._connection.execute(*arguments)
