"""One connection to RabbitMQ with one confirming channel, from its opening to its loss."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

import pika
from pika.adapters.asyncio_connection import AsyncioConnection
from pika.exceptions import AMQPError

from offload_shared import failpoints
from offload_shared.errors import OffloadError, SettingsInvalid
from offload_shared.failpoints import Point
from offload_shared.job import Hint
from offload_shared.message import encode
from offload_shared.settings import without_password
from offload_shared.topology import queue_name

ANSWER_SECONDS = 10.0  # for the broker to connect, to declare a queue, to confirm a message
HEARTBEAT_SECONDS = 30
BLOCKED_SECONDS = 300.0  # a broker that is out of memory or disk for longer is given up and called again
CLOSE_SECONDS = 2.0


class BrokerUnavailable(OffloadError):  # noqa: N818
    """The broker cannot be reached, or does not do what it is asked."""


def parameters(url: str) -> pika.URLParameters:
    """Return pika's parameters for a broker's URL; raises `SettingsInvalid`."""
    try:
        found = pika.URLParameters(url)
    except Exception as error:  # noqa: BLE001 - pika raises whatever its parsing happens to run into
        raise SettingsInvalid(f"OFFLOAD_BROKER_URL is {without_password(url)!r}: {error}") from None
    found.heartbeat = HEARTBEAT_SECONDS
    found.blocked_connection_timeout = BLOCKED_SECONDS
    found.socket_timeout = found.stack_timeout = ANSWER_SECONDS
    found.connection_attempts = 1
    found.client_properties = {"connection_name": "offload-api"}
    return found


class Link:
    """A connection, in use once `open` has returned; `lost` is done, with a sentence, once it is gone."""

    def __init__(self, *, confirmed: Callable[[str], None], returned: Callable[[str], None]) -> None:
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.blocked = False  # the broker takes no messages for now
        self._confirmed = confirmed
        self._returned = returned
        self._unroutable: set[str] = set()
        self._in_flight: dict[int, tuple[str, float]] = {}  # by delivery tag: the job's id, and since when
        self._last_tag = 0
        self._connection: Any = None
        self._channel: Any = None

    @property
    def in_flight(self) -> int:
        """How many messages the broker has not confirmed yet."""
        return len(self._in_flight)

    def oldest_seconds(self) -> float:
        """Return for how long the broker has owed a confirmation."""
        _, since = next(iter(self._in_flight.values()), ("", time.monotonic()))
        return time.monotonic() - since

    def publish(self, hint: Hint) -> None:
        """Send a hint, without waiting; what is published in one go of the event loop leaves in one write."""
        properties = pika.BasicProperties(
            content_type="application/json",
            delivery_mode=pika.DeliveryMode.Persistent.value,
            priority=hint.priority,
            message_id=hint.job_id,
        )
        self._channel.basic_publish("", queue_name(hint.queue), encode(hint), properties, mandatory=True)
        self._last_tag += 1
        self._in_flight[self._last_tag] = (hint.job_id, time.monotonic())

    async def declare(self, arguments: Mapping[str, Any]) -> int:
        """Declare a queue, and return how many messages wait in it; raises `BrokerUnavailable`."""
        answer = await self._answer(lambda done: self._channel.queue_declare(**arguments, callback=done))
        return int(answer.method.message_count)

    async def open(self, found: pika.URLParameters) -> None:
        """Connect and open the channel; raises `BrokerUnavailable`."""
        await self._answer(lambda done: self._connect(found, done))
        self._channel = await self._answer(lambda done: self._connection.channel(on_open_callback=done))
        self._channel.add_on_close_callback(lambda _, error: self._lose(error))
        self._channel.add_on_return_callback(self._on_return)
        await self._answer(lambda done: self._channel.confirm_delivery(self._on_confirm, callback=done))

    async def close(self) -> None:
        """Say goodbye to the broker, if it still listens."""
        if self._connection is not None and not (self._connection.is_closing or self._connection.is_closed):
            self._connection.close()
        await asyncio.wait({self.lost}, timeout=CLOSE_SECONDS)

    def _connect(self, found: pika.URLParameters, done: Callable[[Any], None]) -> None:
        self._connection = _Connection(
            found,
            on_open_callback=done,
            on_open_error_callback=lambda _, error: self._lose(error),
            on_close_callback=lambda _, error: self._lose(error),
            custom_ioloop=asyncio.get_running_loop(),
        )
        self._connection.add_on_connection_blocked_callback(lambda *_: self._block(blocked=True))
        self._connection.add_on_connection_unblocked_callback(lambda *_: self._block(blocked=False))

    async def _answer(self, ask: Callable[[Callable[[Any], None]], object]) -> Any:
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self.lost.done():
            raise BrokerUnavailable(self.lost.result())
        try:
            ask(lambda value: None if answer.done() else answer.set_result(value))
        except (AMQPError, ValueError) as error:  # the channel or the connection closed meanwhile
            raise BrokerUnavailable(_sentence(error)) from error
        await asyncio.wait({answer, self.lost}, timeout=ANSWER_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        raise BrokerUnavailable(self.lost.result() if self.lost.done() else "it does not answer")

    def _on_confirm(self, frame: Any) -> None:
        if failpoints.reached(Point.CONFIRMING):
            return
        method = frame.method
        tags = self._tags_up_to(method.delivery_tag) if method.multiple else [method.delivery_tag]
        for tag in tags:
            job_id, _ = self._in_flight.pop(tag, ("", 0.0))
            refused = isinstance(method, pika.spec.Basic.Nack) or job_id in self._unroutable
            self._unroutable.discard(job_id)
            if job_id and not refused:
                self._confirmed(job_id)

    def _tags_up_to(self, last: int) -> list[int]:
        return [tag for tag in self._in_flight if tag <= last]

    def _on_return(self, _channel: Any, method: Any, properties: Any, _body: bytes) -> None:
        # Comes before the message's confirmation: RabbitMQ confirms also what it could not route.
        self._unroutable.add(properties.message_id)
        self._returned(method.routing_key)

    def _block(self, *, blocked: bool) -> None:
        self.blocked = blocked

    def _lose(self, error: BaseException) -> None:
        if not self.lost.done():
            self.lost.set_result(_sentence(error))
        if self._connection is not None and self._connection.is_open:  # the channel alone was closed: start afresh
            self._connection.close()


class _Connection(AsyncioConnection):  # type: ignore[misc] # pika publishes no types
    """Joins what is written in one go of the event loop: pika makes a system call for each frame."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        self._unsent: list[bytes] = []
        super().__init__(*arguments, **keywords)

    def _adapter_emit_data(self, data: bytes) -> None:
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self._flush)
        self._unsent.append(data)

    def _flush(self) -> None:
        data, self._unsent = b"".join(self._unsent), []
        if self._transport is not None:
            super()._adapter_emit_data(data)


def _sentence(error: BaseException) -> str:
    causes = getattr(error, "exceptions", None) or [error]  # pika tells of each address it tried
    cause = causes[-1]
    cause = getattr(cause, "exception", None) or cause
    return " ".join(f"{type(cause).__name__} {cause}".split())[:300]
