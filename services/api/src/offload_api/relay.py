"""Hints at every job that is due for it: the outbox, the delay queue and the recovery from lost hints."""

import logging
import time
from collections.abc import Callable

from offload_api.broker import BrokerUnavailable
from offload_api.publisher import Publisher
from offload_api.store import Store
from offload_shared.store import hints

#: How long a queue is left alone whose every waiting job still has its message at the broker.
REST_SECONDS = 5.0
LARGEST_UPDATE = 1000

_log = logging.getLogger(__name__)


class Relay:
    """Turns due rows into messages, a step at a time; any number of API processes do so side by side."""

    def __init__(self, store: Store, publisher: Publisher, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._publisher = publisher
        self._clock = clock
        self._doubts = 0  # the publisher's, as far as they are resolved
        self._rests_until: dict[str, float] = {}
        self.relayed = 0  # hints, since the start

    async def step(self) -> None:
        """Note what was published, make up for what the broker lost, publish what is due.

        Raises `StoreUnavailable`.
        """
        await self.note_confirmed()
        if not self._publisher.connected:
            return
        try:
            await self._make_up_for_losses()
            await self._publish_due()
        except BrokerUnavailable as error:
            _log.debug("the relay waits for the broker: %s", error)

    async def note_confirmed(self) -> None:
        """Tell the store which hints have reached the broker; raises `StoreUnavailable`."""
        confirmed = self._publisher.take_confirmed()
        for start in range(0, len(confirmed), LARGEST_UPDATE):
            await self._store.run(hints.mark_published, confirmed[start : start + LARGEST_UPDATE])

    async def _make_up_for_losses(self) -> None:
        doubts = self._publisher.doubts
        if doubts == self._doubts:
            return
        depths = await self._publisher.depths()
        backlog = await self._store.run(hints.backlog)
        for queue, depth in depths.items():
            # Messages that workers hold are not counted, so a small difference proves nothing.
            if depth < backlog.get(queue, 0) / 2:
                forgotten = 0
                while batch := await self._store.run(hints.forget_published, queue):
                    forgotten += batch
                self._rests_until.pop(queue, None)
                _log.info("the broker has %d messages for %d waiting jobs of queue %s", depth, forgotten, queue)
        self._doubts = doubts

    async def _publish_due(self) -> None:
        queues = await self._hungry_queues()
        while queues and self._publisher.room >= hints.BATCH:
            due = await self._store.run(hints.take_due, queues)
            self._publisher.publish(due)
            self.relayed += len(due)
            if len(due) < hints.BATCH:
                return

    async def _hungry_queues(self) -> set[str]:
        """Return the queues with jobs to hint at, without those whose jobs simply have to wait for a worker."""
        due = {queue for queue in await self._store.run(hints.queues_due) if not self._rests(queue)}
        if not due:
            return due
        depths = await self._publisher.depths()
        due &= depths.keys()
        if all(depths[queue] == 0 for queue in due):
            return due
        backlog = await self._store.run(hints.backlog)
        full = {queue for queue in due if depths[queue] >= backlog.get(queue, 0)}
        self._rests_until |= dict.fromkeys(full, self._clock() + REST_SECONDS)
        return due - full

    def _rests(self, queue: str) -> bool:
        return self._clock() < self._rests_until.get(queue, 0.0)
