"""Bounds the memory that large bodies take together: each has its room until it is answered, or is refused."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from http import HTTPStatus
from typing import Concatenate, ParamSpec, TypeVar

from offload_api.problems import RETRY_SECONDS, Problem

#: A body of so many bytes is small: there are never more of these than connections, so they need no room.
SMALL_BYTES = 64 * 1024

T = TypeVar("T")
P = ParamSpec("P")


class HeldBodies:
    """Counts the bytes of large bodies; one client's address may have half of the room, and may have it with one body.

    A body that finds no room waits for it, for `patience_seconds` at most.
    """

    def __init__(self, *, most_bytes: int, patience_seconds: float) -> None:
        self._most = most_bytes
        self._most_of_client = max(1, most_bytes // 2)
        self._patience_seconds = patience_seconds
        self._held: Counter[str] = Counter()
        self._freed = asyncio.Event()
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def room(self, client: str, size_bytes: int) -> AsyncIterator[None]:
        """Hold room for a body of this client's; raises `Problem` 503 when there is none in time."""
        size = min(size_bytes, self._most_of_client)
        try:
            async with asyncio.timeout(self._patience_seconds):
                while not self._fits(client, size):
                    self._freed.clear()
                    await self._freed.wait()
        except TimeoutError:
            raise _crowded() from None
        self._held[client] += size
        try:
            yield
        finally:
            self._held[client] -= size
            if not self._held[client]:
                del self._held[client]
            self._freed.set()

    def _fits(self, client: str, size: int) -> bool:
        return self._held.total() + size <= self._most and self._held[client] + size <= self._most_of_client

    async def look_into(
        self, body: bytes, look: Callable[Concatenate[bytes, P], T], *more: P.args, **named: P.kwargs
    ) -> T:
        """Return what `look` finds in a body, on a thread; raises what it raises.

        What is not JSON of the right kind is taken apart to tell what is wrong, into objects that take many times its
        size: so large bodies have their turns. Together they would be no faster, as they share the GIL.
        """
        async with self._turn if len(body) > SMALL_BYTES else nullcontext():
            return await asyncio.to_thread(look, body, *more, **named)


def _crowded() -> Problem:
    detail = "More large bodies come in than are held at once; nothing was done. Repeat the request."
    headers = {"Retry-After": str(RETRY_SECONDS), "Connection": "close"}  # the rest of the body is never read
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", "Not available now", detail, headers=headers)
