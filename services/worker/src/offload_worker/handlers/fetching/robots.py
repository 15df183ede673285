"""What robots.txt of each server asks for (RFC 9309)."""

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from protego import Protego

from offload_shared.errors import AddressRefused, RequestFailed

MOST_BYTES = 500 * 1024  # of one, as the RFC has it; what comes behind is not read
LONGEST_DELAY_SECONDS = 60.0

#: Returns the status and the beginning of a body.
Get = Callable[[str], Awaitable[tuple[int, bytes]]]


class Robots:
    """Asks each server once; whom it does not let ask is answered as if everything were forbidden."""

    def __init__(self, get: Get, user_agent: str) -> None:
        self._get = get
        self._user_agent = user_agent
        self._rules: dict[str, asyncio.Task[Protego]] = {}

    async def delay_seconds(self, url: str) -> float:
        """Return how long to wait between two requests; raises `AddressRefused` for a URL not to be fetched."""
        origin = _origin(url)
        if origin not in self._rules:
            self._rules[origin] = asyncio.create_task(self._read(origin))
        rules = await asyncio.shield(self._rules[origin])
        if not rules.can_fetch(url, self._user_agent):
            raise AddressRefused("is one that robots.txt asks to leave out")
        return min(float(rules.crawl_delay(self._user_agent) or 0), LONGEST_DELAY_SECONDS)

    def end(self) -> None:
        """Ask nobody any more."""
        for task in self._rules.values():
            task.cancel()

    async def _read(self, origin: str) -> Protego:
        try:
            status, body = await self._get(f"{origin}/robots.txt")
        except (RequestFailed, AddressRefused):
            status, body = 503, b""
        if status >= 500:
            body = b"User-agent: *\nDisallow: /"
        elif status >= 300:
            body = b""
        return await asyncio.to_thread(Protego.parse, body.decode(errors="replace"))


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
