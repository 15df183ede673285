"""The Dramatiq broker: hands hints from a consumer of ours to Dramatiq's worker threads.

It carries no middleware. Retries, time limits and results are the protocol's, rows of the store: Dramatiq's own would
hold delayed jobs in memory, could not stop C code, and log and swallow what fails while storing a result.
"""

import time
from collections.abc import Callable, Mapping

import dramatiq
from dramatiq import Message, MessageProxy
from dramatiq.broker import Consumer

from offload_shared import failpoints
from offload_shared.failpoints import Point
from offload_shared.message import ACTOR
from offload_worker.slots import Slots


class Delivery:
    """A hint on its way through the worker: the job it names, and how to tell its source that it was taken.

    It remembers where it came from, so that it is never settled with another connection's consumer.
    """

    def __init__(self, job_id: str, settle: Callable[[], None]) -> None:
        self.job_id = job_id
        self._settle: Callable[[], None] | None = settle

    def settle(self) -> None:
        """Tell the source, once, that the hint is dealt with: the claim has committed or was refused."""
        settle, self._settle = self._settle, None
        if settle and not failpoints.reached(Point.ACKNOWLEDGING):
            settle()

    def leave(self) -> None:
        """Settle nothing, now or later: the source gives the hint to another worker when this one is gone."""
        self._settle = None


class HintConsumer(Consumer):
    """What our consumers share: a message each delivery, and a slot each message, given back when it is done."""

    def __init__(self, queue: str, slots: Slots) -> None:
        self.queue = queue
        self.slots = slots
        self._looked = time.monotonic()

    @property
    def connected(self) -> bool:
        """Whether hints can come in."""
        raise NotImplementedError

    def silent_seconds(self) -> float:
        """Return how long ago Dramatiq's thread last asked for a message; it does at least every few seconds."""
        return time.monotonic() - self._looked

    def __next__(self) -> MessageProxy | None:
        """Return the next message, or None after a while without one."""
        self._looked = time.monotonic()
        return self.look()

    def look(self) -> MessageProxy | None:
        """Look for the next message, for a while."""
        raise NotImplementedError

    def message(self, job_id: str, settle: Callable[[], None]) -> MessageProxy:
        """Wrap a hint for which a slot was taken; no field of a foreign envelope reaches Dramatiq."""
        delivery = Delivery(job_id, settle)
        message: Message[None] = Message(self.queue, ACTOR, (delivery,), {}, {})
        return MessageProxy(message)

    def ack(self, message: MessageProxy) -> None:
        """Free the slot of a message that is done; its delivery was settled long before, unless its actor broke."""
        message.args[0].settle()
        self.slots.release()

    nack = ack


class HintBroker(dramatiq.Broker):
    """A broker that only consumes; the worker publishes nothing, since retries are rows."""

    def __init__(self, consumers: Mapping[str, Callable[[], HintConsumer]]) -> None:
        super().__init__(middleware=[])
        self._consumers = consumers

    def declare_queue(self, queue_name: str) -> None:
        """Make Dramatiq start a consumer thread for a queue."""
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues[queue_name] = None
            self.emit_after("declare_queue", queue_name)

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 30000) -> Consumer:  # noqa: ARG002
        """Return the queue's consumer; Dramatiq's idea of a prefetch would let hints wait behind a busy worker."""
        return self._consumers[queue_name]()
