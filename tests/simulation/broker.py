"""The simulated broker, and what the API and the workers hold of it."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from offload_api.broker import BrokerUnavailable
from offload_shared.job import Hint
from offload_worker.broker import Delivery
from tests.simulation.scheduler import Process, Signal

if TYPE_CHECKING:
    from tests.simulation.world import World

QUEUES = ("io", "probe")  # of the tasks that clients submit
#: As the publisher: a broker that owes a confirmation for so long is called anew.
CONFIRM_SECONDS = 10.0
#: Before the end of the faults, where the last hints are lost.
LAST_SECONDS = 12.0


@dataclass(eq=False)
class Message:
    """A hint that lies in a queue."""

    hint: Hint


class Broker:
    """Queues in memory; `restart` keeps what lies in them or loses it."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.up = True
        self.starts = 1  # what was sent to an earlier start is gone
        self.arrived = Signal(world.scheduler)
        self.hinted_at: dict[str, float] = {}  # when a hint at a job last came to lie in a queue
        self._queues: dict[str, list[Message]] = {queue: [] for queue in QUEUES}
        self._unsettled: dict[Process, list[Message]] = {}

    def send(self, hint: Hint) -> bool:
        """Take a hint in, perhaps late, twice or never; returns whether it will be confirmed."""
        world, profile = self._world, self._world.profile
        if profile.loses_last_hints and not world.is_calm and world.scheduler.now > profile.seconds - LAST_SECONDS:
            world.count("hint lost")
            return True
        if world.chance(profile.hint_lost):
            world.count("hint lost")
            return world.chance(0.7)  # also a message that the broker confirmed can get lost
        for _ in range(2 if world.chance(profile.hint_repeated) else 1):
            delay = world.rng.random() * (20.0 if world.chance(profile.hint_delayed) else 0.01)
            world.scheduler.at(world.scheduler.now + delay, partial(self._arrive, hint, self.starts))
        return True

    def _arrive(self, hint: Hint, starts: int) -> None:
        if self.up and starts == self.starts:
            self._queues[hint.queue].append(Message(hint))
            self.hinted_at[hint.job_id] = self._world.scheduler.now
            self.arrived.notify()

    def depths(self) -> dict[str, int]:
        """Return how many messages lie in each queue."""
        return {queue: len(messages) for queue, messages in self._queues.items()}

    def take(self, process: Process) -> Message | None:
        """Give any message to a worker: the order of hints means nothing."""
        waiting = [message for messages in self._queues.values() for message in messages]
        if not waiting:
            return None
        message = self._world.rng.choice(waiting)
        self._queues[message.hint.queue].remove(message)
        self._unsettled.setdefault(process, []).append(message)
        return message

    def settle(self, process: Process, message: Message) -> None:
        """Forget a message, unless it was given back meanwhile."""
        unsettled = self._unsettled.get(process, [])
        if message in unsettled:
            unsettled.remove(message)

    def disconnect(self, process: Process) -> None:
        """Take back what a worker has not settled."""
        for message in self._unsettled.pop(process, []):
            self._queues[message.hint.queue].append(message)
        self.arrived.notify()

    def stop(self, *, lose_all: bool) -> None:
        """Go down."""
        self.up = False
        self.starts += 1
        for process in list(self._unsettled):
            self.disconnect(process)
        if lose_all:
            for messages in self._queues.values():
                messages.clear()

    def start(self) -> None:
        """Come back."""
        self.up = True
        self.arrived.notify()


class SimulatedPublisher:
    """As `offload_api.publisher.Publisher`: connects again for ever, and counts its doubts."""

    def __init__(self, world: "World", process: Process, broker: Broker) -> None:
        self._world = world
        self._process = process
        self._broker = broker
        self._confirmed: list[str] = []
        self._link = 0  # the broker's start that it is connected to; 0: none
        self.doubts = 0
        self._connect_later()

    @property
    def connected(self) -> bool:
        return self._broker.up and self._link == self._broker.starts

    @property
    def room(self) -> int:
        return 5000 if self.connected else 0

    def publish(self, hints: Iterable[Hint]) -> None:
        for hint in hints:
            if self.connected:
                self._send(hint)

    def take_confirmed(self) -> list[str]:
        confirmed, self._confirmed = self._confirmed, []
        return confirmed

    async def depths(self) -> dict[str, int]:
        self._world.latency()
        if not self.connected:
            raise BrokerUnavailable("simulated")
        return self._broker.depths()

    def broker_stopped(self) -> None:
        """Notice that the connection is gone."""
        self._link = 0
        self._connect_later()

    def _send(self, hint: Hint) -> None:
        world, link = self._world, self._link
        world.note(self._process, "hints", hint.job_id)
        will_be_confirmed = self._broker.send(hint)
        if will_be_confirmed and not world.chance(world.profile.confirm_lost):
            delay = world.rng.random() * (8.0 if world.chance(0.1) else 0.02)
            world.scheduler.at(world.scheduler.now + delay, lambda: self._on_confirm(hint, link))
        else:
            world.scheduler.at(world.scheduler.now + CONFIRM_SECONDS, lambda: self._on_silence(link))

    def _on_confirm(self, hint: Hint, link: int) -> None:
        if link == self._link and self.connected:
            self._confirmed.append(hint.job_id)

    def _on_silence(self, link: int) -> None:
        if link == self._link and self.connected:
            self._link = 0
            self._connect_later()

    def _connect_later(self) -> None:
        pause = 0.1 + self._world.rng.random() * 2
        self._world.scheduler.at(self._world.scheduler.now + pause, self._connect)

    def _connect(self) -> None:
        if not self._process.alive or self.connected:
            return
        if self._broker.up:
            self._link = self._broker.starts
            self.doubts += 1
        else:
            self._connect_later()


class SimulatedConsumer:
    """A worker's connection: gives its executor threads deliveries while they are free."""

    def __init__(self, world: "World", process: Process, broker: Broker) -> None:
        self._world = world
        self._process = process
        self._broker = broker

    def next(self, seconds: float) -> Delivery | None:
        """Return the next hint's delivery, or None after a while without one."""
        message = self._take()
        if message is None:
            self._broker.arrived.wait(seconds)
            message = self._take()
        if message is None:
            return None
        self._world.latency()
        return Delivery(message.hint.job_id, lambda: self._broker.settle(self._process, message))

    def _take(self) -> Message | None:
        return self._broker.take(self._process) if self._broker.up else None
