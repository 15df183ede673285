"""Keeps a connection to RabbitMQ and publishes hints on it; a hint that is lost costs time and never a job."""

import asyncio
import logging
import random
from collections.abc import Sequence

import pika

from offload_api.broker import ANSWER_SECONDS, BrokerUnavailable, Link, parameters
from offload_shared.job import Hint
from offload_shared.settings import without_password
from offload_shared.topology import queue_arguments

MOST_IN_FLIGHT = 5000
SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 5.0
CHECK_SECONDS = 1.0

_log = logging.getLogger(__name__)


class Publisher:
    """One for each API process, on its event loop.

    `doubts` grows whenever the broker may have lost messages: at each new connection, and when a queue was missing.
    """

    def __init__(self, url: str, queues: Sequence[str], *, quorum: bool = False) -> None:
        self._parameters: pika.URLParameters = parameters(url)
        self._shown_url = without_password(url)
        self._queues = {queue: queue_arguments(queue, quorum=quorum) for queue in queues}
        self._link: Link | None = None
        self._confirmed: list[str] = []
        self.published = self.confirmed = self.returned = self.dropped = 0  # hints, since the start
        self._task: asyncio.Task[None] | None = None
        self.doubts = 0

    @property
    def connected(self) -> bool:
        """Whether the broker takes messages now."""
        return self._link is not None and not self._link.lost.done() and not self._link.blocked

    @property
    def room(self) -> int:
        """How many more hints can be published now."""
        return MOST_IN_FLIGHT - self._link.in_flight if self._link is not None and self.connected else 0

    @property
    def unconfirmed(self) -> int:
        """How many hints the broker has not confirmed yet."""
        return self._link.in_flight if self._link is not None else 0

    def publish(self, hints: Sequence[Hint]) -> None:
        """Publish hints without waiting; those there is no room for are dropped and left to the relay."""
        link = self._link
        fitting = hints[: self.room]
        if link is not None:
            for hint in fitting:
                link.publish(hint)
        self.published += len(fitting)
        self.dropped += len(hints) - len(fitting)

    def take_confirmed(self) -> list[str]:
        """Return the ids of the jobs whose hints the broker has confirmed since the last call."""
        confirmed, self._confirmed = self._confirmed, []
        return confirmed

    async def depths(self) -> dict[str, int]:
        """Return how many messages wait in each queue, having declared it; raises `BrokerUnavailable`."""
        link = self._link
        if link is None:
            raise BrokerUnavailable("it is not connected")
        return {queue: await link.declare(arguments) for queue, arguments in self._queues.items()}

    def start(self) -> None:
        """Begin to connect, and to connect again for ever."""
        self._task = asyncio.create_task(self._keep_connected())

    async def stop(self) -> None:
        """Disconnect."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _keep_connected(self) -> None:
        failures = 0
        while True:
            doubts = self.doubts  # grows once connected
            try:
                await self._connect_and_stay()
            except BrokerUnavailable as error:
                failures = 1 if self.doubts != doubts else failures + 1
                if failures == 1:
                    _log.warning("the broker at %s is not available and is called again: %s", self._shown_url, error)
            self._link = None
            # Jitter: many processes that lost one broker do not come back to it in one moment.
            longest = min(LONGEST_PAUSE_SECONDS, SHORTEST_PAUSE_SECONDS * 2.0 ** min(failures, 10))
            await asyncio.sleep(random.uniform(SHORTEST_PAUSE_SECONDS, longest))  # noqa: S311

    async def _connect_and_stay(self) -> None:
        link = Link(confirmed=self._confirmed_append, returned=self._on_unroutable)
        try:
            await link.open(self._parameters)
            for arguments in self._queues.values():
                await link.declare(arguments)
            self._link = link
            self.doubts += 1
            _log.info("connected to the broker at %s", self._shown_url)
            await _watch(link)
        finally:
            self._link = None  # before its channel closes: nobody publishes on it any more
            await link.close()

    def _confirmed_append(self, job_id: str) -> None:
        self._confirmed.append(job_id)
        self.confirmed += 1

    def _on_unroutable(self, queue: str) -> None:
        _log.warning("the broker has no queue %s any more", queue)
        self.doubts += 1
        self.returned += 1


async def _watch(link: Link) -> None:
    """Return never: raises `BrokerUnavailable` once the link is lost, or owes a confirmation for too long."""
    while True:
        await asyncio.wait({link.lost}, timeout=CHECK_SECONDS)
        if link.lost.done():
            raise BrokerUnavailable(link.lost.result())
        if link.oldest_seconds() > ANSWER_SECONDS and not link.blocked:
            raise BrokerUnavailable("it does not confirm messages")
