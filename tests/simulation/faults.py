"""What goes wrong in a seed, how often, and when; the seed draws a profile and the moments."""

import random
from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulation.scheduler import Process
    from tests.simulation.world import World


@dataclass
class Profile:
    """How likely each fault is; 0 for many of them in most seeds, so that each is also met alone."""

    seconds: float  # until the faults end
    embedded: bool  # without a broker
    long_jobs: float
    bad_endings: float
    crashing: float  # of the bad endings
    loses_all_at_last: bool  # the broker, as the last fault
    loses_last_hints: bool  # though it confirms them: nobody has a reason to doubt
    # For each statement, message, answer or attempt:
    store_unavailable: float = 0.0
    unknown_not_written: float = 0.0
    unknown_written: float = 0.0
    crash_before_commit: float = 0.0
    crash_after_commit: float = 0.0
    slow: float = 0.0
    hint_lost: float = 0.0
    hint_repeated: float = 0.0
    hint_delayed: float = 0.0
    confirm_lost: float = 0.0
    answer_lost: float = 0.0
    worker_unable: float = 0.0
    late_end: float = 0.0  # a freeze between the end of the work and its report to the store
    flows: bool = False
    # So many times each:
    crashes: int = 0
    freezes: int = 0
    cuts: int = 0
    store_outages: int = 0
    broker_restarts: int = 0
    broker_losses: int = 0
    disconnections: int = 0
    clock_jumps: int = 0
    drains: int = 0
    stray_hints: int = 0  # sent by somebody else, at any job


#: A cut may outlast the other faults, to last longer than a lease.
CUT_ENDS_BEFORE_SECONDS = 5.0

_MOST = {
    "store_unavailable": 0.1,
    "unknown_not_written": 0.08,
    "unknown_written": 0.08,
    "crash_before_commit": 0.02,
    "crash_after_commit": 0.02,
    "slow": 0.03,
    "hint_lost": 0.6,
    "hint_repeated": 0.4,
    "hint_delayed": 0.3,
    "confirm_lost": 0.2,
    "answer_lost": 0.2,
    "worker_unable": 0.1,
    "crashes": 3,
    "freezes": 3,
    "cuts": 2,
    "store_outages": 2,
    "broker_restarts": 2,
    "broker_losses": 2,
    "disconnections": 2,
    "clock_jumps": 2,
    "drains": 1,
    "stray_hints": 15,
}


#: How likely late ends are in the seeds that have them, and what part of all seeds does.
LATE_END, OF_SEEDS = 0.5, 0.25
FLOWS_OF_SEEDS = 0.2
LONGEST_LATENESS_SECONDS = 25.0


def draw(rng: random.Random, seed: int) -> Profile:
    """Return a seed's profile."""
    profile = Profile(
        seconds=rng.uniform(20.0, 40.0),
        embedded=rng.random() < 0.12,
        long_jobs=rng.choice([0.0, 0.2, 0.6]),
        bad_endings=rng.choice([0.0, 0.3, 0.9]),
        crashing=rng.choice([0.2, 0.5, 0.95]),
        loses_all_at_last=rng.random() < 0.3,
        loses_last_hints=rng.random() < 0.12,
    )
    for field in fields(Profile):
        most = _MOST.get(field.name, 0)
        if most and rng.random() < 0.4:
            setattr(profile, field.name, rng.randint(1, most) if isinstance(most, int) else rng.random() * most)
    # Drawn apart, so that all other seeds keep the stories they had before there was this fault, and before flows.
    if random.Random(f"late ends of {seed}").random() < OF_SEEDS:
        profile.late_end = LATE_END
    profile.flows = random.Random(f"a flow of {seed}").random() < FLOWS_OF_SEEDS
    return profile


def schedule(world: "World") -> None:
    """Set the moments of what happens to processes, the store, the broker and the clock."""
    rng, profile = world.rng, world.profile

    def at_random(times: int, what: "partial[None]") -> None:
        for _ in range(times):
            world.scheduler.at(rng.random() * profile.seconds, what)

    at_random(profile.crashes, partial(_crash, world))
    at_random(profile.freezes, partial(_freeze, world))
    at_random(profile.cuts, partial(_cut, world))
    at_random(profile.store_outages, partial(_store_outage, world))
    at_random(profile.clock_jumps, partial(_clock_jump, world))
    at_random(profile.drains, partial(_drain, world))
    if world.broker:
        at_random(profile.broker_restarts, partial(_broker_restart, world, lose_all=False))
        at_random(profile.broker_losses, partial(_broker_restart, world, lose_all=True))
        at_random(profile.disconnections, partial(_disconnect, world))
        at_random(profile.stray_hints, partial(_stray_hint, world))


def last_loss(world: "World") -> None:
    """Let the broker lose everything when all other faults are over."""
    if world.broker and world.profile.loses_all_at_last:
        world.count("broker lost everything")
        world.stop_broker(lose_all=True)
        world.start_broker()
        world.checker.broker_lost_everything()


def _crash(world: "World") -> None:
    if living := world.living():
        world.crash(world.rng.choice(living), "crashes")


def _freeze(world: "World") -> None:
    if living := world.living():
        process = world.rng.choice(living)
        seconds = world.rng.choice([2.0, 8.0, 14.0, 20.0, 30.0])
        process.frozen_until = max(process.frozen_until, world.bounded(seconds))
        world.count("freeze")
        world.note(process, f"freezes until {process.frozen_until:.1f}")


def late_end(world: "World", process: "Process", job_id: str) -> None:
    """Perhaps freeze a worker that has done an attempt's work and told nobody, until another attempt of the job runs.

    What it then stores comes from an attempt whose lease is over: only the fence keeps it out.
    """
    # With every other worker frozen as well there would be nobody to run it again.
    if any(each.frozen_until > world.scheduler.now for each in world.living()) or not world.chance(
        world.profile.late_end
    ):
        return
    until = min(world.scheduler.now + LONGEST_LATENESS_SECONDS, world.calm_at - CUT_ENDS_BEFORE_SECONDS)
    world.count("late end")
    world.note(process, "has done its work, and freezes", job_id)

    def stay_frozen() -> None:
        if world.scheduler.now < until and not world.checker.works_on(job_id):
            process.frozen_until = max(process.frozen_until, world.scheduler.now + 0.5)
            world.scheduler.at(world.scheduler.now + 0.4, stay_frozen)

    stay_frozen()


def _cut(world: "World") -> None:
    if processes := world.checker.working():
        process = world.rng.choice(processes)
        process.cut_until = min(
            world.scheduler.now + world.rng.choice([5.0, 12.0, 30.0, 30.0]), world.calm_at - CUT_ENDS_BEFORE_SECONDS
        )
        world.count("cut from the store")
        world.note(process, f"is cut from the store until {process.cut_until:.1f}")
    elif not world.is_calm:
        world.scheduler.at(world.scheduler.now + 1.0, partial(_cut, world))  # it matters where there is work


def _store_outage(world: "World") -> None:
    world.store_away_until = world.bounded(world.rng.uniform(1.0, 15.0))
    world.count("store outage")
    world.note(None, f"the store is away until {world.store_away_until:.1f}")


def _broker_restart(world: "World", *, lose_all: bool) -> None:
    if world.broker is None or not world.broker.up:
        return
    world.count("broker lost everything" if lose_all else "broker restart")
    world.stop_broker(lose_all=lose_all)
    world.scheduler.at(world.bounded(world.rng.uniform(0.5, 12.0)), world.start_broker)


def _disconnect(world: "World") -> None:
    if world.broker and world.workers:
        world.count("consumer disconnected")
        world.broker.disconnect(world.rng.choice(world.workers).process)


def _stray_hint(world: "World") -> None:
    hint = world.checker.any_hint()
    if world.broker and hint:
        world.count("stray hint")
        world.broker.send(hint)


def _clock_jump(world: "World") -> None:
    world.jump(world.rng.choice([-10.0, -3.0, 3.0, 10.0, 20.0]))


def _drain(world: "World") -> None:
    if world.workers:
        worker = world.rng.choice(world.workers)
        world.count("drain")
        world.note(worker.process, "is told to end")
        world.scheduler.spawn(worker.process, worker.drain)
