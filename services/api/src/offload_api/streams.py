"""Bounds how many event streams are open at once, in all and from one client."""

from collections import Counter
from http import HTTPStatus
from types import TracebackType

from offload_api.problems import Problem

RETRY_SECONDS = 10


class Streams:
    """Counts the streams that this process serves."""

    def __init__(self, *, most: int, most_of_client: int) -> None:
        self._most = most
        self._most_of_client = most_of_client
        self._open: Counter[str] = Counter()

    def take(self, client: str) -> "Place":
        """Return a place for a stream to this client's address; raises `Problem` 429 when there is none."""
        if self._open.total() >= self._most or self._open[client] >= self._most_of_client:
            detail = "Too many event streams are open; close some, or ask for the job itself with Prefer: wait."
            status, headers = HTTPStatus.TOO_MANY_REQUESTS, {"Retry-After": str(RETRY_SECONDS)}
            raise Problem(status, "too-many-streams", "Too many streams", detail, headers=headers)
        return Place(self._open, client)


class Place:
    """A stream's place, from when it begins until it ends."""

    def __init__(self, taken: Counter[str], client: str) -> None:
        self._taken = taken
        self._client = client

    def __enter__(self) -> None:
        self._taken[self._client] += 1

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._taken[self._client] -= 1
        self._taken += Counter()  # forgets who has none
