"""Keeps the audit trail: a line in the log for each request that was to change something, and a row in the store.

The line is written before the answer is sent. The rows follow in the background, many in one statement, so that no
request waits for them; what a process that is killed had not stored yet is in its log.
"""

import asyncio
import logging
import re
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from heapq import merge
from itertools import islice
from operator import attrgetter
from typing import Any, cast

import msgspec
from litestar.types import HTTPScope, Message, Send

from offload_api.access import Caller
from offload_shared.ids import new_id
from offload_shared.store.audits import TARGET_PATTERN, AuditRecord

#: While the store is away; past it, the oldest of the tenant that has the most are in the log alone.
MOST_KEPT = 10_000
LARGEST_WRITE = 1000
#: Less than a whole write waits for more so long.
FLUSH_SECONDS = 1.0
FORGET_SECONDS = 3600.0

#: An id of ours, or the name of something; anything else is what a client has made up, and no column's to take.
TARGET = re.compile(TARGET_PATTERN)

#: What is only looked at is not recorded.
_LOOKING = ("GET", "HEAD", "OPTIONS")
_MADE = "offload.made"

LOGGER = "offload.audit"
_log = logging.getLogger(LOGGER)


def note_made(connection: HTTPScope, ids: Sequence[str]) -> None:
    """Say what a request has made, where its answer's Location does not."""
    cast("dict[str, Any]", connection)[_MADE] = ids


class Trail:
    """`add` stores records."""

    def __init__(self, add: Callable[[Sequence[AuditRecord]], Awaitable[None]]) -> None:
        self._add = add
        self._kept: dict[str, deque[AuditRecord]] = {}  # by tenant
        self._number = 0
        self._lost = 0  # since the last flush
        self._whole_write = asyncio.Event()
        self._last_id = ""

    def watched(self, connection: HTTPScope, caller: Caller, send: Send) -> Send:
        """Return a `send` that records what is answered to this request, where it is to change something."""
        if connection["method"] in _LOOKING:
            return send

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                location = next((value for name, value in message["headers"] if name == b"location"), b"")
                self.note(connection, caller, message["status"], location.decode().rpartition("/")[2])
            await send(message)

        return sending

    def note(self, connection: HTTPScope, caller: Caller, status: int, made: str = "") -> None:
        """Record a request that was to change something, and its answer."""
        if connection["method"] in _LOOKING:
            return
        # Of a retry it is the job that was made, which names the other as its parent.
        asked_for = [each for each in connection.get("path_params", {}).values() if TARGET.fullmatch(str(each))]
        targets = list(cast("dict[str, Any]", connection).get(_MADE) or [made or (asked_for[0] if asked_for else None)])
        client = connection.get("client")
        record = AuditRecord(
            id=self._next_id(),
            at=datetime.now(UTC),
            tenant=caller.tenant,
            key_id=caller.key_id,
            subject=caller.subject,
            address=client[0] if client else "",
            method=connection["method"],
            route=connection["path_template"],
            target=targets[0],
            status=status,
        )
        line = {name: getattr(record, name) for name in record.__struct_fields__ if name not in ("id", "target")}
        _log.info("%s", msgspec.json.encode({**line, "targets": targets}).decode())
        self._keep(
            [record, *(msgspec.structs.replace(record, id=self._next_id(), target=each) for each in targets[1:])]
        )

    def _keep(self, records: Sequence[AuditRecord]) -> None:
        self._kept.setdefault(records[0].tenant, deque()).extend(records)
        before, self._number = self._number, self._number + len(records)
        if before < LARGEST_WRITE <= self._number:  # not again while a store that is away leaves it so
            self._whole_write.set()
        while (excess := self._number - MOST_KEPT) > 0:
            fullest = max(self._kept.values(), key=len)
            for _ in range(min(excess, len(fullest))):
                fullest.popleft()
                self._number -= 1
                self._lost += 1

    def _next_id(self) -> str:
        # Two of one millisecond are in no order: these are listed by their ids.
        made = new_id()
        self._last_id = made if made > self._last_id else f"{int(self._last_id, 16) + 1:032x}"
        return self._last_id

    async def flush_in_time(self) -> None:
        """Flush once a whole write has come together, or `FLUSH_SECONDS` from now."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_SECONDS):
                await self._whole_write.wait()
        self._whole_write.clear()
        await self.flush()

    async def flush(self) -> None:
        """Store what was recorded; raises `StoreUnavailable`, and keeps it for the next time."""
        if self._lost:
            _log.warning("%d records are in the log alone: they came faster than they could be stored", self._lost)
            self._lost = 0
        while batch := list(islice(merge(*self._kept.values(), key=attrgetter("id")), LARGEST_WRITE)):
            await self._add(batch)
            self._remove(until=batch[-1].id)

    def _remove(self, until: str) -> None:
        for kept in self._kept.values():
            while kept and kept[0].id <= until:
                kept.popleft()
                self._number -= 1
        self._kept = {tenant: kept for tenant, kept in self._kept.items() if kept}
