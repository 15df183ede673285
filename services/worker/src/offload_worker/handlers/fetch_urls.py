"""Fetches many URLs on the event loop, which others use as well: all that computes or writes is on threads."""

import asyncio
import os
import ssl
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import cache
from pathlib import Path

import httpcore2
import msgspec

from offload_shared.outbound import Guard, Outbound
from offload_shared.settings import load
from offload_shared.tasks.fetch_urls import MOST_ROWS_INLINE, FetchedRow, FetchUrls, FetchUrlsResult
from offload_worker.handle import JobHandle
from offload_worker.handlers.fetching.bodies import Archive
from offload_worker.handlers.fetching.fetcher import Fetcher
from offload_worker.settings import WorkerSettings

ROWS, BODIES = "results.jsonl", "bodies.zip"


async def fetch_urls(payload: FetchUrls, job: JobHandle) -> FetchUrlsResult:
    """Fetch each URL; what goes wrong with one is told of in its row, and harms no other."""
    began = time.monotonic()
    # Made here: each job has its own connections, and the settings are those that the worker has started with.
    guard = Guard(load(WorkerSettings, os.environ).allowed_networks, plain=True)
    outbound = Outbound(guard, ssl_context=await asyncio.to_thread(_ssl_context))
    async with AsyncExitStack() as cleanup:
        cleanup.push_async_callback(outbound.close)
        archive = None
        if payload.keep_bodies and payload.method == "GET":
            archive = await cleanup.enter_async_context(Archive(job.artifact(BODIES, "application/zip")))
        fetcher = Fetcher(payload, outbound, archive)
        cleanup.callback(fetcher.end)
        rows = await _all(fetcher, payload.urls, job)
    await asyncio.to_thread(_write, job.artifact(ROWS, "application/jsonl"), rows)
    statuses = Counter(str(row.status) for row in rows if row.status is not None)
    answered = [row for row in rows if row.error is None and row.status is not None]
    fetched = sum(row.status < 400 for row in answered if row.status is not None)
    return FetchUrlsResult(
        fetched=fetched,
        refused=len(answered) - fetched,
        failed=len(rows) - len(answered),
        statuses=dict(statuses),
        bytes=sum(row.size for row in rows),
        rows=tuple(rows) if len(rows) <= MOST_ROWS_INLINE else None,
        artifact=ROWS,
        bodies=BODIES if archive else None,
        duration_seconds=round(time.monotonic() - began, 3),
    )


@cache
def _ssl_context() -> ssl.SSLContext:
    return httpcore2.default_ssl_context()  # which reads all certificates there are


async def _all(fetcher: Fetcher, urls: Sequence[str], job: JobHandle) -> list[FetchedRow]:
    rows: dict[int, FetchedRow] = {}

    async def one(number: int, url: str) -> None:
        rows[number] = await fetcher.fetch(number, url)
        job.progress(min(99.0, 100 * len(rows) / len(urls)), f"{len(rows):,} of {len(urls):,} fetched")

    job.progress(0, f"0 of {len(urls):,} fetched")
    async with asyncio.TaskGroup() as group:
        for number, url in enumerate(urls):
            group.create_task(one(number, url))
    return [rows[number] for number in range(len(urls))]


def _write(path: Path, rows: Sequence[FetchedRow]) -> None:
    with path.open("wb") as file:
        for row in rows:
            file.write(msgspec.json.encode(row) + b"\n")
