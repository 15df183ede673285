"""Bounds how many connections are open at once, in all and from one client, so that nobody takes every place."""

import logging
import sys
from collections import Counter

_log = logging.getLogger(__name__)

#: Descriptors for what is no connection: the store, artifacts, the broker, libraries.
SPARE_DESCRIPTORS = 256
#: Connections over the limits that are told so at once; they take a while to close, and descriptors meanwhile.
MOST_TOLD = 64


class Connections:
    """Counts the connections that this process serves."""

    def __init__(self, *, most: int, most_of_client: int) -> None:
        self._most = most
        self._most_of_client = most_of_client
        self._open: Counter[str] = Counter()
        self._total = 0
        self._told = 0

    def take_place(self, client: str) -> bool:
        """Count a connection of this client's address; False when there is no place for it."""
        if self._total >= self._most or self._open[client] >= self._most_of_client:
            return False
        self._open[client] += 1
        self._total += 1
        return True

    def give_back(self, client: str) -> None:
        """Count one less."""
        self._total -= 1
        self._open[client] -= 1
        if not self._open[client]:
            del self._open[client]

    def begin_telling(self) -> bool:
        """Count a connection that is told that there is no place; False when so many are that it is just closed."""
        if self._told >= MOST_TOLD:
            return False
        self._told += 1
        return True

    def end_telling(self) -> None:
        """Count one less."""
        self._told -= 1


def allow_descriptors(connections: int) -> None:
    """Raise this process's own limit of open files to what so many connections need, as far as it may."""
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415 - not there on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + SPARE_DESCRIPTORS
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    if most > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if most < wanted:
        _log.warning("OFFLOAD_MAX_CONNECTIONS is %d, but this process may open %d files (ulimit -n)", connections, most)
