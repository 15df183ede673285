"""What will be submitted, and when: decided by the seed alone, before anything runs."""

from datetime import UTC, datetime
from random import Random
from typing import Any

import msgspec

from chaos.kinds import KINDS, Kind, note_field

#: Of all jobs, so many are submitted with a key; of these, so many are repeated until they are acknowledged.
KEYED, STUBBORN = 0.9, 0.85
REPEATED = 0.15
SURVEYED = 0.3
#: Jobs a second up to which every kind has its part; what is beyond is made of light kinds alone.
MIXED_RATE = 10.0


class PlannedJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job of the load, and what its client does with it."""

    note: str
    kind: Kind
    payload: dict[str, Any]
    options: dict[str, Any]
    at: float = 0.0  # seconds from the start of the load
    key: str | None = None
    stubborn: bool = True  # repeats an unclear submit with its key until it is acknowledged
    repeats: tuple[float, ...] = ()  # further submits with the same key, so many seconds after the first
    cancel_after: float | None = None
    survey: bool = False  # looks at the job again after its end
    api: int = 0  # which API it begins with

    def body(self, now: float) -> dict[str, Any]:
        """Return what to submit, the times it names counted from `now`, which is of the wall clock."""
        options = dict(self.options)
        for relative, absolute in (("starts_in", "run_at"), ("deadline_in", "deadline")):
            if relative in options:
                options[absolute] = datetime.fromtimestamp(now + options.pop(relative), UTC).isoformat()
        return {"task": self.kind.task, "payload": self.payload, **options}


def make_plan(seed: int, *, seconds: float, rate: float, longest: float) -> list[PlannedJob]:
    """Return the jobs of a load of `seconds`, about `rate` a second, none working for longer than `longest`."""
    random = Random(seed)
    plan: list[PlannedJob] = []
    weights = weights_at(rate)
    at = random.expovariate(rate)
    while at < seconds:
        [kind] = random.choices(KINDS, weights=weights)
        plan.append(_planned(random, kind, f"{seed}-{len(plan)}", at, longest))
        at += random.expovariate(rate)
    return plan


def weights_at(rate: float) -> list[float]:
    """Return each kind's weight at so many jobs a second: beyond `MIXED_RATE`, heavy kinds do not come more often."""
    light = sum(kind.weight for kind in KINDS if kind.light)
    heavy = sum(kind.weight for kind in KINDS) - light
    beyond = max(0.0, rate / MIXED_RATE - 1) * (light + heavy)
    return [kind.weight * (1 + beyond / light if kind.light else 1) for kind in KINDS]


def extra(kind: Kind, note: str) -> PlannedJob:
    """Return a job that the run submits for its own ends; its client does nothing unusual."""
    return PlannedJob(
        note=note,
        kind=kind,
        payload=_payload(kind, Random(note), note, 1),
        options=kind.options(Random(note)),
        key=note,
    )


def _planned(random: Random, kind: Kind, note: str, at: float, longest: float) -> PlannedJob:
    # What works until it is cancelled would never end if its client did not know whether there is anything to cancel.
    must_know = kind.cancelled_after is not None
    keyed = random.random() < KEYED or must_know
    repeated = keyed and random.random() < REPEATED
    return PlannedJob(
        note=note,
        kind=kind,
        payload=_payload(kind, random, note, longest),
        options=kind.options(random),
        at=at,
        key=f"key-{note}" if keyed else None,
        stubborn=keyed and (random.random() < STUBBORN or must_know),
        repeats=tuple(random.choice([0.0, 0.0, random.uniform(0, 4)]) for _ in range(random.randint(1, 3)))
        if repeated
        else (),
        cancel_after=random.uniform(*kind.cancelled_after) if kind.cancelled_after else None,
        survey=random.random() < SURVEYED,
        api=random.randrange(2),
    )


def _payload(kind: Kind, random: Random, note: str, longest: float) -> dict[str, Any]:
    payload = {**kind.payload(random), note_field(kind.task): note}
    if "seconds" in payload and not kind.ends.isdisjoint({"succeeded"}):
        payload["seconds"] = min(payload["seconds"], longest)
    return payload
