"""What the client saw, as it saw it: lines of JSON that are only ever appended, and what is read back from them.

All times are seconds of the monotonic clock; `epoch` is what turns them into the wall clock that the store has, too.
"""

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

import msgspec

Verb = Literal["submit", "look", "result", "cancel", "artifact", "add-schedule", "remove-schedule"]


class Started(msgspec.Struct, frozen=True, kw_only=True, tag="started"):
    """The first line: which run this is."""

    epoch: float  # of the wall clock when the monotonic one stood at 0
    seed: int
    lease_seconds: float


class Planned(msgspec.Struct, frozen=True, kw_only=True, tag="planned"):
    """A job is about to be submitted; its note is in its payload, and in nobody else's."""

    note: str
    kind: str
    body: dict[str, Any]
    key: str | None = None


class Invoked(msgspec.Struct, frozen=True, kw_only=True, tag="invoked"):
    """A request was sent, and may have any effect from now on."""

    call: int
    verb: Verb
    note: str
    api: int
    at: float


class Answered(msgspec.Struct, frozen=True, kw_only=True, tag="answered"):
    """The request's answer; a status of 0 means that none came."""

    call: int
    at: float
    status: int
    job_id: str = ""
    state: str = ""
    version: int = 0
    attempt: int = 0
    body: str = ""  # of a result or an artifact


class FaultBegan(msgspec.Struct, frozen=True, kw_only=True, tag="fault-began"):
    """A fault is about to be injected."""

    number: int
    name: str
    at: float


class FaultHolds(msgspec.Struct, frozen=True, kw_only=True, tag="fault-holds"):
    """A fault is in force; `orphans` are the attempts that were running on workers it has ended."""

    number: int
    at: float
    target: str
    orphans: list[tuple[str, int]] = []
    waiting: list[str] = []  # the due jobs of queues whose messages it has destroyed


class FaultUndone(msgspec.Struct, frozen=True, kw_only=True, tag="fault-undone"):
    """A fault begins to be undone (`healed` False), or is (`healed` True)."""

    number: int
    at: float
    healed: bool


class Recovered(msgspec.Struct, frozen=True, kw_only=True, tag="recovered"):
    """Seconds from the healing of a fault until a submit was answered 202, and until fresh jobs had ended."""

    number: int
    accepted_seconds: float
    ended_seconds: float | None  # None: they had not when patience ended


class Slowed(msgspec.Struct, frozen=True, kw_only=True, tag="slowed"):
    """The machine itself kept us waiting: for `seconds`, a moment's work was not done."""

    at: float  # when it began
    seconds: float


class ServiceEnded(msgspec.Struct, frozen=True, kw_only=True, tag="service-ended"):
    """One of our processes ended by itself, and was started again."""

    name: str
    at: float
    status: int
    said: str


Event = (
    Started
    | Planned
    | Invoked
    | Answered
    | FaultBegan
    | FaultHolds
    | FaultUndone
    | Recovered
    | Slowed
    | ServiceEnded
)  # fmt: skip


class Journal:
    """Appends events to a file; whatever happens to this process, what was appended is there."""

    def __init__(self, path: Path, *, seed: int, lease_seconds: float, clock: Callable[[], float] = time.monotonic):
        self._file = path.open("ab", buffering=0)
        self._clock = clock
        self._calls = 0
        self.epoch = time.time() - clock()
        self.note(Started(epoch=self.epoch, seed=seed, lease_seconds=lease_seconds))

    def now(self) -> float:
        """Return the time that events are stamped with."""
        return self._clock()

    def note(self, event: Event) -> None:
        """Append an event."""
        self._file.write(msgspec.json.encode(event) + b"\n")

    def invoke(self, verb: Verb, note: str, api: int) -> int:
        """Note that a request is about to be sent, and return its number."""
        self._calls += 1
        self.note(Invoked(call=self._calls, verb=verb, note=note, api=api, at=self.now()))
        return self._calls

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A request with its answer; `answered` is None, and `status` 0, when none came."""

    verb: Verb
    note: str
    api: int = 0
    invoked: float
    answered: float | None = None
    status: int = 0
    job_id: str = ""
    state: str = ""
    version: int = 0
    attempt: int = 0
    body: str = ""


class Fault(msgspec.Struct, kw_only=True):
    """A fault from its beginning to the recovery from it."""

    number: int
    name: str
    began: float
    target: str = ""
    held: float | None = None
    undoing: float | None = None
    healed: float | None = None
    accepted_seconds: float | None = None
    ended_seconds: float | None = None
    orphans: list[tuple[str, int]] = []
    waiting: list[str] = []


class History(msgspec.Struct, kw_only=True):
    """All that was noted in a run."""

    epoch: float = 0.0
    seed: int = 0
    lease_seconds: float = 30.0
    planned: dict[str, Planned] = {}
    calls: list[Call] = []
    faults: list[Fault] = []
    ended: list[ServiceEnded] = []
    slowed: list[Slowed] = []


def read(path: Path) -> History:
    """Return the history in a file; a last line that was cut off is left out."""
    decoder = msgspec.json.Decoder(Event)
    with path.open("rb") as lines:
        return gather(decoder.decode(line) for line in lines if line.endswith(b"\n"))


def gather(events: Iterable[Event]) -> History:
    """Return the history that events make up."""
    history = History(planned={}, calls=[], faults=[], ended=[], slowed=[])
    invoked: dict[int, Invoked] = {}
    faults: dict[int, Fault] = {}
    for event in events:
        match event:
            case Started():
                history.epoch, history.seed, history.lease_seconds = event.epoch, event.seed, event.lease_seconds
            case Planned():
                history.planned[event.note] = event
            case Invoked():
                invoked[event.call] = event
            case Answered():
                history.calls.append(_call(invoked.pop(event.call), event))
            case FaultBegan():
                faults[event.number] = Fault(number=event.number, name=event.name, began=event.at)
            case ServiceEnded():
                history.ended.append(event)
            case Slowed():
                history.slowed.append(event)
            case _:
                _amend(faults[event.number], event)
    history.calls.extend(_call(each, None) for each in invoked.values())
    history.calls.sort(key=lambda call: call.invoked)
    history.faults = list(faults.values())
    return history


def _amend(fault: Fault, event: FaultHolds | FaultUndone | Recovered) -> None:
    match event:
        case FaultHolds():
            fault.held, fault.target, fault.orphans, fault.waiting = (
                event.at,
                event.target,
                event.orphans,
                event.waiting,
            )
        case FaultUndone(healed=True):
            fault.healed = event.at
        case FaultUndone():
            fault.undoing = event.at
        case Recovered():
            fault.accepted_seconds, fault.ended_seconds = event.accepted_seconds, event.ended_seconds


def _call(invoked: Invoked, answer: Answered | None) -> Call:
    call = Call(verb=invoked.verb, note=invoked.note, api=invoked.api, invoked=invoked.at)
    if answer is None:
        return call
    return msgspec.structs.replace(
        call,
        answered=answer.at,
        status=answer.status,
        job_id=answer.job_id,
        state=answer.state,
        version=answer.version,
        attempt=answer.attempt,
        body=answer.body,
    )
