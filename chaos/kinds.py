"""The kinds of job that the load is made of, and how each may end."""

from collections.abc import Callable
from random import Random
from typing import Any

import msgspec

Payload = Callable[[Random], dict[str, Any]]

SUCCEEDED = frozenset({"succeeded"})
#: What dies with its process may be counted as crashed or, when its worker died in the same moment, as lost.
POISON = frozenset({"failed:crashed", "failed:lost"})
CANCELLED = frozenset({"cancelled"})
FOR_EVER = 100_000


def _nothing(_: Random) -> dict[str, Any]:
    return {}


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """How jobs of a kind are made, how often relative to others, and the ends they may come to."""

    name: str
    weight: float
    task: str
    light: bool = False  # costs no process and next to no time: what a high rate is made of
    ends: frozenset[str] = SUCCEEDED
    payload: Payload = _nothing
    options: Payload = _nothing  # `starts_in` and `deadline_in` become times when the job is submitted
    cancelled_after: tuple[float, float] | None = None  # seconds, at random between these two
    own_losses: int = 0  # attempts that end by the job's own doing

    @property
    def takes_process(self) -> bool:
        """Whether it runs in a process, of which there are few."""
        return self.task == "probe"


def _lasting(action: str, shortest: float, longest: float) -> Payload:
    # Mostly near the shortest: as in real loads, a few take much of the time.
    return lambda random: {
        "action": action,
        "seconds": round(shortest + (longest - shortest) * random.random() ** 3, 3),
    }


def _does(action: str, **fixed: Any) -> Payload:
    return lambda _: {"action": action, **fixed}


def _has(**fixed: Any) -> Payload:
    return lambda _: fixed


def _between(name: str, shortest: float, longest: float) -> Payload:
    return lambda random: {name: round(random.uniform(shortest, longest), 3)}


def _deadline(random: Random) -> dict[str, Any]:
    starts_in = random.uniform(0.2, 4)
    return {"starts_in": starts_in, "deadline_in": starts_in + random.uniform(0.3, 8)}


KINDS = (
    Kind(name="echo", weight=40, task="echo", light=True),
    Kind(name="echo-slow", weight=8, task="echo", light=True, payload=_between("delay_seconds", 0.05, 3)),
    Kind(name="event-loop", weight=6, task="probe-event-loop", light=True, payload=_lasting("sleep", 0.05, 8)),
    Kind(name="thread", weight=6, task="probe-thread", payload=_lasting("sleep", 0.05, 6)),
    Kind(name="thread-prints", weight=2, task="probe-thread", payload=_does("print")),
    Kind(name="process", weight=8, task="probe", payload=_does("return")),
    Kind(name="process-sleeps", weight=5, task="probe", payload=_lasting("sleep", 0.05, 4)),
    Kind(name="process-computes", weight=5, task="probe", payload=_lasting("spin", 0.05, 1)),
    Kind(name="long", weight=0.6, task="probe-thread", payload=_lasting("sleep", 10, 120)),
    Kind(name="long-process", weight=0.2, task="probe", payload=_lasting("sleep", 10, 120)),
    Kind(name="artifact", weight=3, task="probe", payload=_does("artifact"), options=_has(max_attempts=10)),
    Kind(name="daemon", weight=1, task="probe", payload=_does("daemon", seconds=1.5)),
    Kind(name="leaves-daemon", weight=1, task="probe", payload=_does("leave-daemon")),
    Kind(name="raises-once", weight=3, task="probe", payload=_does("raise-once")),
    Kind(name="raises", weight=2, task="probe-thread", payload=_does("raise"), ends=frozenset({"failed:error"})),
    Kind(name="rejects", weight=2, task="probe-thread", payload=_does("reject"), ends=frozenset({"failed:rejected"})),
    Kind(name="killed-once", weight=2, task="probe", payload=_does("kill-once"), own_losses=1),
    Kind(name="crashes", weight=1, task="probe", payload=_does("exit"), ends=POISON, own_losses=3),
    Kind(
        name="too-large",
        weight=1,
        task="probe",
        payload=_does("large-result"),
        ends=frozenset({"failed:result_too_large"}),
    ),
    Kind(
        name="times-out",
        weight=1,
        task="probe",
        payload=_does("spin", seconds=FOR_EVER),
        options=_has(timeout_seconds=0.5),
        ends=frozenset({"failed:timeout"}),
    ),
    Kind(name="scheduled", weight=6, task="echo", light=True, options=_between("delay_seconds", 0.5, 12)),
    Kind(name="scheduled-at", weight=4, task="probe-event-loop", light=True, options=_between("starts_in", 0.5, 12)),
    Kind(
        name="deadline",
        weight=5,
        task="probe",
        options=_deadline,
        ends=frozenset({"succeeded", "failed:expired"}),
    ),
    Kind(
        name="cancelled-scheduled",
        weight=3,
        task="echo",
        light=True,
        options=_has(delay_seconds=3600),
        ends=CANCELLED,
        cancelled_after=(0, 4),
    ),
    *(
        Kind(
            name=f"cancelled-{task}",
            weight=weight,
            task=task,
            payload=_does(action, seconds=FOR_EVER),
            ends=CANCELLED,
            cancelled_after=(0.5, 6),
        )
        for task, action, weight in (
            ("probe", "spin", 1),
            ("probe-thread", "sleep", 2),
            ("probe-event-loop", "sleep", 2),
        )
    ),
)

#: Not drawn by the plan: submitted by the run itself, to see whether all works again and to have messages to destroy.
RECOVERY_ECHO = Kind(name="recovery-echo", weight=0, task="echo", options=_has(priority=9))
RECOVERY_PROCESS = Kind(
    name="recovery-process", weight=0, task="probe", payload=_does("return"), options=_has(priority=9)
)
BURST = Kind(name="burst", weight=0, task="probe", payload=_does("sleep", seconds=0.2))

#: Not submitted: added by schedules, one each minute.
RECURRING = Kind(name="recurring", weight=0, task="echo")

BY_NAME = {kind.name: kind for kind in (*KINDS, RECOVERY_ECHO, RECOVERY_PROCESS, BURST, RECURRING)}


def note_field(task: str) -> str:
    """Return the field of a task's payload, and of its result, that carries the note."""
    return "text" if task == "echo" else "note"
