"""What the consumer of a RabbitMQ queue hands on, and where it is settled, on a broker that is a fake."""

from collections import deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pika
import pytest
from dramatiq import MessageProxy
from pika.exceptions import AMQPConnectionError, ConnectionWrongStateError

from offload_shared import message as wire
from offload_shared.ids import new_id
from offload_shared.job import Hint
from offload_worker.broker import HintBroker
from offload_worker.consumers import rabbitmq
from offload_worker.consumers.rabbitmq import Outage, RabbitmqConsumer
from offload_worker.slots import Slots


class FakeChannel:
    """Remembers what was acknowledged on it."""

    def __init__(self) -> None:
        self.is_open = True
        self.acknowledged: list[int] = []
        self.deliver: Callable[..., None] = lambda *_: None

    def add_on_cancel_callback(self, callback: object) -> None: ...

    def queue_declare(self, **arguments: object) -> None: ...

    def basic_qos(self, *, prefetch_count: int) -> None: ...

    def basic_consume(self, _queue: str, callback: Callable[..., None]) -> str:
        self.deliver = callback
        return "consumer"

    def basic_ack(self, tag: int) -> None:
        self.acknowledged.append(tag)


class FakeConnection:
    """Delivers hints at jobs, numbered from one as on any channel, until it breaks."""

    def __init__(self, job_ids: list[str]) -> None:
        self.is_open = True
        self.made = FakeChannel()
        self._waiting = deque(enumerate(job_ids, 1))

    def channel(self) -> FakeChannel:
        return self.made

    def process_data_events(self, *, time_limit: float) -> None:
        if not self.is_open:
            raise AMQPConnectionError
        if self._waiting:
            tag, job_id = self._waiting.popleft()
            self.made.deliver(self.made, SimpleNamespace(delivery_tag=tag), None, wire.encode(Hint(job_id, "q")))

    def add_callback_threadsafe(self, callback: Callable[[], object]) -> None:
        if not self.is_open:
            raise ConnectionWrongStateError
        callback()

    def breaks(self) -> None:
        self.is_open = self.made.is_open = False

    def close(self) -> None:
        self.breaks()


def delivered(consumer: RabbitmqConsumer) -> MessageProxy:
    for _ in range(10):  # a look may lose the connection, and the next make another
        if message := consumer.look():
            return message
    raise AssertionError("nothing was delivered")


def test_a_message_is_settled_with_the_connection_that_brought_it_and_never_with_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = FakeConnection([new_id()]), FakeConnection([new_id()])
    connections: Any = iter([first, second])
    monkeypatch.setattr(rabbitmq, "BlockingConnection", lambda _: next(connections))
    consumer = RabbitmqConsumer(pika.URLParameters("amqp://h"), "q", Slots(3), Outage("amqp://h"), quorum=False)

    [early] = delivered(consumer).args
    first.breaks()
    [late] = delivered(consumer).args
    early.settle()
    assert ([], []) == (first.made.acknowledged, second.made.acknowledged)
    late.settle()

    assert ([], [1]) == (first.made.acknowledged, second.made.acknowledged)


def test_a_message_is_settled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = FakeConnection([new_id()])
    monkeypatch.setattr(rabbitmq, "BlockingConnection", lambda _: connection)
    consumer = RabbitmqConsumer(pika.URLParameters("amqp://h"), "q", Slots(1), Outage("amqp://h"), quorum=False)

    message = delivered(consumer)
    message.args[0].settle()
    consumer.ack(message)

    assert [1] == connection.made.acknowledged


def test_no_middleware_retries_limits_or_stores_results_behind_the_protocols_back() -> None:
    assert [] == HintBroker({}).middleware
