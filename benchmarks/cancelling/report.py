"""Writes the figures as Markdown."""

import statistics
from collections.abc import Callable, Sequence

from benchmarks.cancelling.cancels import Cancel, Round
from benchmarks.cancelling.plan import KINDS, Plan
from benchmarks.cancelling.setups import EMBEDDED, Setup
from benchmarks.page import cores, percent, percentile, where_and_when

#: What Offload promises of 99 in 100 cancels.
PROMISED_SECONDS = 1.0
ALL = "all of them"
#: Of the cores' time, in the hands of processes that are none of this benchmark.
DISTURBING_SHARE = 0.05

Rounds = dict[Setup, list[Round]]
_MOMENTS: tuple[Callable[[Cancel], float], ...] = (lambda cancel: cancel.seen, lambda cancel: cancel.gone)


def page_part(plan: Plan, rounds: Rounds) -> str:
    """Return everything on the page that a run decides."""
    parts = (_circumstances(plan, rounds), disturbance(rounds), verdict(rounds), _times(rounds), _loads(rounds))
    return "\n\n".join(part for part in parts if part)


def disturbance(rounds: Rounds) -> str | None:
    """Return a sentence that says so when other processes took the processor from this run, else None."""
    foreign = statistics.mean(each.foreign_share for each in rounds[EMBEDDED])
    if foreign < DISTURBING_SHARE:
        return None
    return (
        f"**Other processes disturbed this run**: on embedded parts they took {percent(foreign)} of the cores' time.\n"
        "Repeat the run while nothing else computes."
    )


def verdict(rounds: Rounds) -> str:
    """Return a sentence that says whether the promise held, and where it did not."""
    late = [
        f"- {kind}, on {setup.name}"
        for setup in rounds
        for kind in KINDS
        if any(percentile(_sorted(rounds[setup], kind, part), 0.99) > PROMISED_SECONDS for part in _MOMENTS)
    ]
    promise = f"99 of 100 jobs are `cancelled`, and their processes gone, within {PROMISED_SECONDS:g} s"
    if late:
        return "\n".join([f"**In this run the promise was not kept** that {promise}, for:", "", *late])
    return f"The promise was kept for every kind: {promise}."


def _circumstances(plan: Plan, rounds: Rounds) -> str:
    cancels = sum(len(each.cancels) for done in rounds.values() for each in done)
    return (
        f"{where_and_when()}, in {plan.rounds} round{'s' if plan.rounds > 1 else ''} on each setup.\n"
        f"{plan.at_once} clients cancelled, while {plan.busy} jobs computed on {cores()} cores and others came and "
        f"went, {plan.rate:g} a second or as many as were done.\n"
        f"After each round's cancels, {cancels:,} in all, every computing job was still running, in its first attempt."
    )


def _times(rounds: Rounds) -> str:
    lines = [
        "| the job | on | cancels | `cancelled`: p50, ms | p99 | max | gone: p50, ms | p99 | max |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for kind in (*KINDS, ALL):
        for setup, done in rounds.items():
            times = [_sorted(done, kind, part) for part in _MOMENTS]
            cells = (f"{_ms(percentile(each, share))}" for each in times for share in (0.5, 0.99, 1))
            lines.append(f"| {kind} | {setup.name} | {len(times[0])} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _loads(rounds: Rounds) -> str:
    lines = [
        "| load on | cores busy | jobs/s | requests/s | answered 503 | a job took: p50, ms | p99 |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for setup, done in rounds.items():
        busy = statistics.mean(each.busy_share for each in done)
        seconds = sum(each.load.seconds for each in done)
        requests, refused = (sum(getattr(each.load, name) for each in done) for name in ("requests", "refused"))
        took = sorted(seconds for each in done for seconds in each.load.took)
        lines.append(
            f"| {setup.name} | {percent(busy)} | {len(took) / seconds:.1f} | {requests / seconds:.0f} | {refused} "
            f"| {_ms(percentile(took, 0.5))} | {_ms(percentile(took, 0.99))} |"
        )
    return "\n".join(lines)


def _sorted(rounds: Sequence[Round], kind: str, part: Callable[[Cancel], float]) -> list[float]:
    return sorted(part(each) for done in rounds for each in done.cancels if kind in (each.kind, ALL))


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:,.0f}"
