"""How much is cancelled, and under what load."""

from dataclasses import dataclass

from benchmarks.page import cores

#: What the cancelled jobs do, as the page calls it, and the probe's action that does it.
KINDS = {
    "a loop in Python": "spin",
    "one call inside C": "spin-in-c",
    "SIGTERM ignored": "ignore-sigterm",
    "a blocked system call": "block",
    "a grandchild in a session of its own": "grandchild",
    "a daemon that ignores SIGTERM": "daemon",
}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The sizes of a run."""

    rounds: int  # each on every setup, with services started afresh
    cancels: int  # of each kind in each round
    at_once: int = 3  # clients that cancel, each one job after another
    busy: int = 2 * cores()  # jobs that compute all the while, each in a slot of the same worker
    rate: float = 10.0  # further jobs a second, submitted and polled all the while


def full(rounds: int) -> Plan:
    """Return the plan whose figures are worth showing: with four rounds, 120 cancels of each kind."""
    return Plan(rounds=rounds, cancels=30)


def quick() -> Plan:
    """Return a plan that only shows that the benchmark works."""
    return Plan(rounds=1, cancels=2)
