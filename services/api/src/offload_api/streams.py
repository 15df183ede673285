"""Bounds how many event streams are open at once, in all and from one client."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from offload_api.problems import Problem

RETRY_SECONDS = 10


class Streams:
    """Counts the streams that this process serves."""

    def __init__(self, *, most: int, most_of_client: int) -> None:
        self._most = most
        self._most_of_client = most_of_client
        self._open: Counter[str] = Counter()

    @property
    def open(self) -> int:
        """How many streams there are."""
        return self._open.total()

    def require_place(self, client: str) -> None:
        """Raise `Problem` 429 when there is no place for a further stream to this client's address."""
        if self._open.total() >= self._most or self._open[client] >= self._most_of_client:
            detail = "Too many event streams are open; close some, or ask for the job itself with Prefer: wait."
            status, headers = HTTPStatus.TOO_MANY_REQUESTS, {"Retry-After": str(RETRY_SECONDS)}
            raise Problem(status, "too-many-streams", "Too many streams", detail, headers=headers)

    @contextmanager
    def place(self, client: str) -> Iterator[None]:
        """Count a stream to this client's address, from when it begins until it ends."""
        self._open[client] += 1
        try:
            yield
        finally:
            self._open[client] -= 1
            if not self._open[client]:
                del self._open[client]
