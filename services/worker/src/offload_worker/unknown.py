"""Says of which tasks, and versions of them, jobs wait in this worker's queues that it cannot run."""

import logging
from collections.abc import Collection, Sequence

from offload_shared.errors import StoreUnavailable
from offload_shared.store import unknown
from offload_shared.store.database import Database
from offload_shared.store.unknown import TaskVersion

TICK_SECONDS = 10.0

_log = logging.getLogger(__name__)


class UnknownTasks:
    """Looks at the heads of the queues; `step` is called every `TICK_SECONDS`."""

    def __init__(self, database: Database, queues: Sequence[str], known: Collection[TaskVersion]) -> None:
        self._database = database
        self._queues = queues
        self._known = known
        self.found: tuple[TaskVersion, ...] = ()

    def step(self) -> None:
        """Look, and tell of what was not there at the last look."""
        try:
            found = tuple(unknown.leave_for_others(self._database, self._queues, self._known))
        except StoreUnavailable:  # the lease keeper says so aloud
            return
        for task, version in sorted(set(found) - set(self.found)):
            latest = max((each for name, each in self._known if name == task), default=None)
            knows = "does not know the task" if latest is None else f"knows it up to version {latest}"
            _log.warning("jobs of task %s, version %d, stay queued for others: this worker %s", task, version, knows)
        self.found = found
