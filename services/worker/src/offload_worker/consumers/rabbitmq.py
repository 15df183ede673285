"""Consumes hints from a RabbitMQ queue, and holds one only while a slot is free for it.

Settled early: a hint is acknowledged as soon as its claim has committed, so no job, however long, meets RabbitMQ's
consumer timeout. And since a busy worker consumes nothing at all, no hint waits behind its jobs while another is idle.
"""

import contextlib
import logging
import random
import threading
import time
from collections import deque
from functools import partial
from typing import Any

import pika
from dramatiq import MessageProxy
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection
from pika.exceptions import AMQPError

from offload_shared import message as wire
from offload_shared import topology
from offload_worker.broker import HintConsumer
from offload_worker.slots import Slots

#: How long hints may wait for a slot before they go back to the queue, for other workers.
PATIENCE_SECONDS = 0.02
IDLE_SECONDS = 0.5
MOST_PREFETCHED = 32
LONGEST_PAUSE_SECONDS = 10.0

_log = logging.getLogger(__name__)


class Outage:
    """What the consumers of one broker say of it together: once that it is away, and once that it is back."""

    def __init__(self, shown_url: str) -> None:
        self._shown_url = shown_url
        self._lock = threading.Lock()
        self._lost: set[str] = set()  # queues whose consumers are not connected

    def lost(self, queue: str, error: BaseException) -> None:
        """Note that a queue's consumer has lost the broker, or does not reach it."""
        with self._lock:
            if not self._lost:
                _log.warning("the broker at %s is not available: %s; trying on", self._shown_url, _sentence(error))
            self._lost.add(queue)

    def connected(self, queue: str) -> None:
        """Note that a queue's consumer is connected."""
        with self._lock:
            if self._lost == {queue}:
                _log.warning("the broker at %s is back", self._shown_url)
            self._lost.discard(queue)


class RabbitmqConsumer(HintConsumer):
    """Yields a message for each hint of a queue while slots are free; connects, and reconnects, by itself."""

    def __init__(
        self, parameters: pika.URLParameters, queue: str, slots: Slots, outage: Outage, *, quorum: bool
    ) -> None:
        super().__init__(queue, slots)
        self._parameters = parameters
        self._outage = outage
        self._quorum = quorum
        self._prefetch = min(max(slots.free(), 1), MOST_PREFETCHED)
        self._connection: BlockingConnection | None = None
        self._channel: BlockingChannel | None = None
        self._consuming: str | None = None  # the consumer's tag while hints come in
        self._delivered: deque[tuple[int, bytes]] = deque()
        self._pause_seconds = 0.0
        slots.on_release(self._wake)

    @property
    def connected(self) -> bool:
        """Whether there is a connection."""
        return self._connection is not None

    def look(self) -> MessageProxy | None:
        """Return the next hint's message, or None after a while without one; never raises for a lost broker."""
        try:
            if self._connection is None:
                self._connect()
            return self._next()
        except (AMQPError, OSError, AssertionError) as error:  # pika asserts inside a connection that broke
            self._lose(error)
            return None

    def _next(self) -> MessageProxy | None:
        if not self._delivered:
            self._consume_while(free=self.slots.any_free())
            self._listen(IDLE_SECONDS)
        if not self._delivered:
            return None
        if not self.slots.any_free():
            self._listen(PATIENCE_SECONDS)
        if not self.slots.take():
            self._consume_while(free=False)
            return None
        tag, body = self._delivered.popleft()
        return self._message(tag, body)

    def _message(self, tag: int, body: bytes) -> MessageProxy | None:
        settle = partial(self._acknowledge, self._connection, self._channel, tag)
        try:
            job_id = wire.decode(body)
        except ValueError as error:
            _log.warning("dropped a message from queue %s: %s", self.queue, error)
            settle()
            self.slots.release()
            return None
        return self.message(job_id, settle)

    def _consume_while(self, *, free: bool) -> None:
        assert self._channel is not None  # noqa: S101 - connected before
        if free and self._consuming is None:
            name = topology.queue_name(self.queue)
            self._consuming = self._channel.basic_consume(name, self._on_delivery)
        elif not free and self._consuming is not None:
            self._channel.basic_cancel(self._consuming)
            self._consuming = None
            while self._delivered:
                tag, _ = self._delivered.popleft()
                self._channel.basic_nack(tag, requeue=True)

    def _listen(self, seconds: float) -> None:
        assert self._connection is not None  # noqa: S101 - connected before
        self._connection.process_data_events(time_limit=seconds)
        if self._channel is None or not self._channel.is_open:
            raise pika.exceptions.ChannelWrongStateError

    def _on_delivery(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:  # noqa: ARG002
        self._delivered.append((method.delivery_tag, body))

    def _connect(self) -> None:
        time.sleep(self._pause_seconds)
        self._connection = BlockingConnection(self._parameters)
        self._channel = self._connection.channel()
        self._channel.add_on_cancel_callback(self._on_cancelled)
        self._channel.queue_declare(**topology.queue_arguments(self.queue, quorum=self._quorum))
        self._channel.basic_qos(prefetch_count=self._prefetch)
        self._pause_seconds = 0.0
        self._outage.connected(self.queue)

    def _on_cancelled(self, _frame: Any) -> None:
        # The queue was deleted: connecting anew declares it again.
        raise pika.exceptions.ConsumerCancelled

    def _lose(self, error: BaseException) -> None:
        self._outage.lost(self.queue, error)
        self.close()
        longest = min(LONGEST_PAUSE_SECONDS, max(0.25, self._pause_seconds * 2))
        self._pause_seconds = random.uniform(longest / 2, longest)  # noqa: S311 - spreads load, guards nothing

    def close(self) -> None:
        """Close the connection; what was delivered and not settled goes back to its queue."""
        connection, self._connection, self._channel, self._consuming = self._connection, None, None, None
        self._delivered.clear()
        try:
            if connection is not None and connection.is_open:
                connection.close()
        except (AMQPError, OSError, AssertionError):
            pass

    def _wake(self) -> None:
        if connection := self._connection:
            _call_on(connection, lambda: None)

    @staticmethod
    def _acknowledge(connection: BlockingConnection, channel: BlockingChannel, tag: int) -> None:
        _call_on(connection, lambda: channel.is_open and channel.basic_ack(tag))


def _call_on(connection: BlockingConnection, call: Any) -> None:
    # The connection's own thread does it, since pika's objects are not thread-safe; a closed one needs nothing more.
    with contextlib.suppress(AMQPError):
        connection.add_callback_threadsafe(call)


def _sentence(error: BaseException) -> str:
    causes = getattr(error, "exceptions", None) or getattr(error, "args", None) or [error]
    cause = causes[-1]  # pika tells of each address it tried, inside of one another
    cause = getattr(cause, "exception", None) or cause
    words = " ".join(f"{cause}".split())[:300]
    return f"{type(error).__name__}: {words}" if words else type(error).__name__
