"""Starts child processes, one for each slot, keeps them warm while they behave, and replaces them when they do not."""

import itertools
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from offload_worker.runners.children import Child


class Nursery:
    """Keeps children warm: started ahead, used again while they behave, replaced when they do not.

    Worn are those that ran `most_jobs`, or hold `most_growth_mb` more memory than they began with. `mark` tells the
    processes of this worker from any others; `folder` is the worker's own, for what libraries keep between jobs.
    """

    def __init__(
        self,
        modules: Sequence[str],
        *,
        threads: int,
        nice: int,
        most_jobs: int,
        most_growth_mb: float,
        mark: str,
        folder: Path,
    ) -> None:
        self._modules = modules
        self._threads = threads
        self._nice = nice
        self._most_jobs = most_jobs
        self._most_growth_mb = most_growth_mb
        self._folder = folder
        self._marks = (f"{mark}.{number}." for number in itertools.count())
        self._idle: deque[Child] = deque()
        self.pids: set[int] = set()  # of all children, also those at work
        self.restarts = 0  # children that were started in another's stead
        # A child dies with the thread that started it, so one thread that outlives all jobs starts them all.
        self._launcher = ThreadPoolExecutor(max_workers=1, thread_name_prefix="launcher")
        self._starting_since: float | None = None
        self._closed = False

    def warm(self, count: int) -> None:
        """Start children ahead, in the background."""
        for _ in range(count):
            self._launcher.submit(self._add)

    def take(self) -> Child:
        """Return an idle child, or a new one; raises `OSError` when none can be started."""
        while True:
            try:
                child = self._idle.pop()  # the one used last: its memory is warmest
            except IndexError:
                child = self._launcher.submit(self._next).result()
            if child.is_fit():
                return child
            self._end(child)

    def give_back(self, child: Child) -> None:
        """Keep a child that ran its job well, unless it is worn; a worn one is replaced."""
        child.jobs += 1
        worn = child.jobs >= self._most_jobs or child.grown_mb() > self._most_growth_mb
        if worn or self._closed or not child.is_fit():
            self.replace(child)
        else:
            self._idle.append(child)

    def replace(self, child: Child) -> None:
        """End a child and start another in its stead."""
        self._end(child)
        if not self._closed:
            self._launcher.submit(self._restart)

    def _end(self, child: Child) -> None:
        child.close()
        self.pids.discard(child.pid)

    def _next(self) -> Child:
        # On the launcher's thread, behind the children that are being started already: there are never more than slots.
        try:
            return self._idle.pop()
        except IndexError:
            return self._start()

    def _start(self) -> Child:
        mark = next(self._marks)
        self._starting_since = time.monotonic()
        try:
            child = Child(self._modules, threads=self._threads, nice=self._nice, mark=mark, folder=self._folder)
        finally:
            self._starting_since = None
        self.pids.add(child.pid)
        return child

    def silent_seconds(self) -> float:
        """Return for how long the start of a process has hung, which takes milliseconds when all is well."""
        since = self._starting_since
        return 0.0 if since is None else time.monotonic() - since

    def _add(self) -> None:
        if not self._closed:
            self._idle.append(self._start())

    def _restart(self) -> None:
        self._add()
        self.restarts += 1

    def close(self) -> None:
        """End all idle children."""
        self._closed = True
        self._launcher.shutdown()
        while self._idle:
            self._end(self._idle.pop())
