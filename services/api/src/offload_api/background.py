"""What an API process does beside answering requests: publishes, relays, sweeps, takes schedules' turns, and more."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Self

from offload_api.interruptions import make_up
from offload_api.services import Services
from offload_api.trail import FORGET_SECONDS
from offload_shared.errors import StoreUnavailable
from offload_shared.store import audits, deliveries

RELAY_SECONDS = 1.0
SCHEDULE_SECONDS = 1.0
#: Between two looks whether its keys are to be fetched again.
ISSUER_SECONDS = 1.0
DELIVER_SECONDS = 0.5
#: Between two looks whether others wait for jobs that have ended, however many end.
RELEASE_GAP_SECONDS = 0.05

_log = logging.getLogger(__name__)


class Background:
    """Runs for the length of an `async with` block."""

    def __init__(self, services: Services) -> None:
        self._publisher = services.publisher
        self._relay = services.relay
        self._sweeper = services.sweeper
        self._collector = services.collector
        self._scheduler = services.scheduler
        self._deliverer = services.deliverer
        self._webhook_log_days = services.settings.webhook_log_days
        self._sweep_seconds = services.settings.sweep_seconds
        self._store = services.store
        self._trail = services.trail
        self._ended = services.ended
        self._added = services.added
        self._look = services.watch.look
        self._releaser = services.releaser
        self._audit_days = services.settings.audit_days
        self._refresh_issuer = services.refresh_issuer
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        """Begin."""
        call_soon = asyncio.get_running_loop().call_soon_threadsafe
        self._ended.listen(lambda: call_soon(self._rung))
        self._tasks.append(asyncio.create_task(_repeat(self._sweep, self._sweep_seconds)))
        self._tasks.append(asyncio.create_task(_repeat(self._collect, self._sweep_seconds)))
        self._tasks.append(asyncio.create_task(_repeat(self._schedule, SCHEDULE_SECONDS)))
        self._tasks.append(asyncio.create_task(_repeat(self._releaser.step, RELEASE_GAP_SECONDS)))
        self._tasks.append(asyncio.create_task(_repeat(self._deliverer.step, DELIVER_SECONDS)))
        self._tasks.append(asyncio.create_task(_repeat(self._forget_deliveries, FORGET_SECONDS)))
        if self._trail is not None:
            self._tasks.append(asyncio.create_task(_repeat(self._trail.flush_in_time, 0)))
            self._tasks.append(asyncio.create_task(_repeat(self._forget_records, FORGET_SECONDS)))
        if self._refresh_issuer is not None:
            self._tasks.append(asyncio.create_task(_repeat(self._refresh_issuer, ISSUER_SECONDS)))
        if self._publisher is not None and self._relay is not None:
            self._publisher.start()
            self._tasks.append(asyncio.create_task(_repeat(self._relay.step, RELAY_SECONDS)))
            self._tasks.append(asyncio.create_task(_repeat(partial(make_up, self._store), RELAY_SECONDS)))
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        """End; what was not published yet is left to the next relay."""
        self._collector.end()
        await asyncio.to_thread(self._ended.close)
        if self._added is not None:
            await asyncio.to_thread(self._added.close)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._deliverer.end()
        if self._trail is not None:
            with suppress(StoreUnavailable):
                await self._trail.flush()
        if self._publisher is not None and self._relay is not None:
            await self._publisher.stop()
            with suppress(StoreUnavailable):
                await self._relay.note_confirmed()

    def _rung(self) -> None:
        self._look()
        self._releaser.ring()

    async def _sweep(self) -> None:
        await asyncio.to_thread(self._sweeper.sweep)

    async def _forget_records(self) -> None:
        while await self._store.scan(audits.forget, days=self._audit_days):
            pass

    async def _forget_deliveries(self) -> None:
        while await self._store.scan(deliveries.forget, days=self._webhook_log_days):
            pass

    async def _collect(self) -> None:
        await asyncio.to_thread(self._collector.collect)

    async def _schedule(self) -> None:
        await asyncio.to_thread(self._scheduler.step)


async def _repeat(step: Callable[[], Awaitable[object]], pause_seconds: float) -> None:
    failing = False
    while True:
        await asyncio.sleep(pause_seconds)
        try:
            await step()
        except StoreUnavailable as error:
            if not failing:
                _log.warning("what runs in the background waits for the store: %s", error)
            failing = True
        except Exception:  # noqa: BLE001 - one bad step must not end all further ones
            _log.exception("a step in the background failed")
        else:
            failing = False
