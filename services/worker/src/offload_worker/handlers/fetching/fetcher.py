"""One URL from its first try to its row: redirects, retries, and what its body is."""

import asyncio
import random
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from time import time
from urllib.parse import urljoin, urlsplit

import httpcore2
import msgspec

from offload_shared.errors import AddressRefused, RequestFailed
from offload_shared.outbound import Outbound
from offload_shared.tasks.fetch_urls import FetchedRow, FetchUrls
from offload_worker.handlers.fetching.bodies import Archive, Budget, Received, TooLarge
from offload_worker.handlers.fetching.robots import MOST_BYTES, Robots
from offload_worker.handlers.fetching.turns import Turns

REDIRECTS = frozenset({301, 302, 303, 307, 308})
AGAIN = frozenset({429, 500, 502, 503, 504})
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 60.0
#: What is said to one server is not for another.
OF_ONE_SERVER = frozenset({"authorization", "cookie"})


class Fetcher:
    """Fetches URLs by the wishes of one job."""

    def __init__(self, wishes: FetchUrls, outbound: Outbound, archive: Archive | None) -> None:
        self._wishes = wishes
        self._outbound = outbound
        self._archive = archive
        self._budget = Budget(wishes.max_total_bytes)
        self._turns = Turns(
            most=wishes.concurrency, most_per_host=wishes.concurrency_per_host, delay_seconds=wishes.delay_seconds
        )
        self._robots = Robots(self._get, wishes.user_agent) if wishes.respect_robots else None

    async def fetch(self, number: int, url: str) -> FetchedRow:
        """Return what came of a URL, whatever that is."""
        host = urlsplit(url).netloc.lower()
        for attempt in range(1, self._wishes.retries + 2):
            pause = FIRST_PAUSE_SECONDS * 2 ** (attempt - 1)
            row, retry_after = FetchedRow(url=url), 0.0
            try:
                delay = await self._robots.delay_seconds(url) if self._robots else 0.0
                async with self._turns.turn(host, delay):
                    row, retry_after = await self._try(number, url)
            except (AddressRefused, TooLarge) as error:
                return msgspec.structs.replace(row, error=str(error), attempts=attempt)
            except RequestFailed as error:
                row = msgspec.structs.replace(row, error=str(error))
            row = msgspec.structs.replace(row, attempts=attempt)
            if row.status is not None and row.status not in AGAIN:
                break
            if attempt <= self._wishes.retries:
                jitter = random.uniform(0.5, 1)  # noqa: S311 - spreads load, guards nothing
                await asyncio.sleep(min(LONGEST_PAUSE_SECONDS, max(retry_after, pause * jitter)))
        return row

    def end(self) -> None:
        """Leave nothing under way."""
        if self._robots:
            self._robots.end()

    async def _try(self, number: int, url: str) -> tuple[FetchedRow, float]:
        clock = asyncio.get_running_loop().time
        began, headers = clock(), dict(self._wishes.headers)
        ends, where = began + self._wishes.url_timeout_seconds, url
        for _ in range(self._wishes.redirects + 1):
            left = max(0.001, ends - clock())
            async with self._outbound.stream(
                self._wishes.method, where, headers=self._told(headers), seconds=left
            ) as response:
                found = _headers(response)
                if response.status in REDIRECTS and "location" in found:
                    following = urljoin(where, found["location"])
                    if urlsplit(following)[:2] != urlsplit(where)[:2]:
                        headers = {name: value for name, value in headers.items() if name.lower() not in OF_ONE_SERVER}
                    where = following
                    continue
                row = await self._row(number, url, where, response)
            seconds = round(clock() - began, 3)
            return msgspec.structs.replace(row, seconds=seconds), _retry_after_seconds(found)
        raise TooLarge(f"more than {self._wishes.redirects} redirects")

    async def _row(self, number: int, url: str, where: str, response: httpcore2.Response) -> FetchedRow:
        found = _headers(response)
        keeps = self._archive if self._wishes.method == "GET" and response.status < 400 else None
        path = keeps.place(number) if keeps else None
        received = Received(path, most=self._wishes.max_body_bytes, budget=self._budget)
        try:
            await received.take(response.aiter_stream())
            name = f"{number:05d}" if keeps and received.size else None
            if keeps and name:
                await keeps.add(received, name)
            elif path:
                received.close()
                path.unlink()
        except BaseException:
            received.drop()
            raise
        return FetchedRow(
            url=url,
            final_url=where,
            status=response.status,
            media_type=found.get("content-type"),
            content_encoding=found.get("content-encoding"),
            size=received.size,
            sha256=received.sha256 if self._wishes.method == "GET" else None,
            body=name,
        )

    def _told(self, headers: Mapping[str, str]) -> dict[str, str]:
        # Nothing is unpacked here, where a few bytes could become all of the memory.
        return {"User-Agent": self._wishes.user_agent, "Accept": "*/*", "Accept-Encoding": "identity", **headers}

    async def _get(self, url: str) -> tuple[int, bytes]:
        """Return the status and the beginning of what robots.txt says, after redirects."""
        for _ in range(6):
            seconds = self._wishes.url_timeout_seconds
            async with self._outbound.stream("GET", url, headers=self._told({}), seconds=seconds) as response:
                found = _headers(response)
                if response.status in REDIRECTS and "location" in found:
                    url = urljoin(url, found["location"])
                    continue
                body = bytearray()
                async for piece in response.aiter_stream():
                    body += piece
                    if len(body) > MOST_BYTES:
                        break
                return response.status, bytes(body[:MOST_BYTES])
        return 404, b""


def _headers(response: httpcore2.Response) -> dict[str, str]:
    """Return the headers, of which any text may come, as text that can be shown and stored."""
    return {name.decode("latin-1").lower(): _printable(value.decode("latin-1")) for name, value in response.headers}


def _printable(text: str) -> str:
    return "".join(character for character in text[:2000] if character.isprintable())


def _retry_after_seconds(headers: Mapping[str, str]) -> float:
    said = headers.get("retry-after", "").strip()
    if said.isdigit():
        return float(said[:9])
    try:
        return max(0.0, parsedate_to_datetime(said).timestamp() - time())
    except (ValueError, TypeError, OverflowError):
        return 0.0
