"""What a run is told of at its end, for people."""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from chaos.checker import Verdict
from chaos.timings import OfFault, Spread, Timings

MOST_SHOWN = 20


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a run came to."""

    seed: int
    seconds: float
    lease_seconds: float
    setting: str
    verdict: Verdict
    timings: Timings
    leaks: list[str]
    stale_refused: int  # ends that the store refused, as workers logged them
    restarts: int
    slowed_seconds: float  # for which the machine itself stood still
    left_out: dict[str, str]  # faults that were not injected, and why

    @property
    def holds(self) -> bool:
        """Whether every invariant has held."""
        return not (self.verdict.violations or self.leaks)


def lines(outcome: Outcome) -> Iterator[str]:
    """Yield the report, line by line."""
    classes = outcome.verdict.classes
    yield f"Seed {outcome.seed}, {outcome.seconds / 60:.3g} minutes, {outcome.setting}"
    yield ""
    yield from _pairs(
        {
            "attempted": classes.attempted,
            "added by schedules": classes.recurring,
            "acknowledged": classes.acknowledged,
            "ok": classes.ok,
            "lost": classes.lost,
            "recovered": f"{classes.recovered}  (no 202 seen, yet stored and ended)",
            "absent": f"{classes.absent}  (no 202 seen, never stored)",
            "duplicate results": classes.duplicate_results,
            "false 202": classes.false_202,
            "stale ends refused": outcome.stale_refused,
            "repeated submits": classes.repeats,
            "runs per job": ", ".join(f"{jobs} ran {runs}x" for runs, jobs in classes.runs.items()),
            "run again after": ", ".join(f"{n} {cause}" for cause, n in classes.again.items()) or "nothing",
            "ends": ", ".join(f"{n} {end}" for end, n in classes.ends.items()),
            "echo, undisturbed": f"{outcome.timings.undisturbed}",
            "processes restarted": outcome.restarts,
            "machine stood still": f"{outcome.slowed_seconds:.1f} s in all",
            "left behind": "; ".join(outcome.leaks) or "nothing",
        }
    )
    yield ""
    yield from _pairs(_targets(outcome))
    yield ""
    yield from _table(outcome.timings.faults)
    for name, why in outcome.left_out.items():
        yield f"Not injected: {name}, since {why}"
    yield ""
    yield from _judgement(outcome)


def _judgement(outcome: Outcome) -> Iterator[str]:
    if outcome.holds:
        yield "Every invariant has held."
        return
    violations = outcome.verdict.violations
    yield f"{len(violations)} VIOLATIONS, {len(outcome.leaks)} leaks, with seed {outcome.seed}:"
    for each in violations[:MOST_SHOWN]:
        yield f"  {each.rule}: {each.note}: {each.what}"
    for leak in outcome.leaks[:MOST_SHOWN]:
        yield f"  leak: {leak}"


def _targets(outcome: Outcome) -> dict[str, object]:
    """Return what was wanted beside what was found: none of it decides whether the run holds, since machines differ."""
    targets, lease = outcome.timings.targets, outcome.lease_seconds
    accepted, submitted = targets.without_broker_accepted, targets.without_broker
    mark = _mark(submitted, met=accepted == submitted)
    return {
        "without the broker": f"{accepted} of {submitted} submits accepted; wanted: all{mark}",
        "without the store": _wanted("503 after", targets.without_store, 3),
        "jobs of dead workers": _wanted("ran again after", targets.dead_workers, lease + 5),
        "jobs of lost messages": _wanted("that need no process ran after", targets.lost_messages, 65),
        "waiting clients": _wanted("knew of an end after", targets.told, 15),
    }


def _wanted(what: str, found: Spread, seconds: float) -> str:
    mark = _mark(found.count, met=found.longest <= seconds)
    return f"{what} {found}; wanted: {seconds:g} s at most{mark}"


def _mark(count: int, *, met: bool) -> str:
    if not count:
        return ": not seen in this run"
    return ": met" if met else ": MISSED"


def _pairs(pairs: Mapping[str, object]) -> Iterator[str]:
    for name, value in pairs.items():
        yield f"  {name:<24}{value}"


HEADINGS = ("fault", "times", "202 meanwhile", "slowest 503", "accepts again", "fresh jobs end", "its own jobs run")


def _table(faults: Sequence[OfFault]) -> Iterator[str]:
    rows = [HEADINGS, *(_cells(fault) for fault in faults)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    for row in rows:
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _cells(fault: OfFault) -> tuple[str, ...]:
    own = fault.orphans_run_again if fault.orphans_run_again.count else fault.waiting_run
    accepted = f"{fault.accepted} of {fault.submits}" if fault.submits else "-"
    return (
        fault.name,
        str(fault.times),
        accepted,
        f"{fault.refusals.longest:.1f} s" if fault.refusals.count else "-",
        _short(fault.accepts_again.p50, fault.accepts_again.longest, fault.accepts_again.count),
        _short(fault.ends_again.p50, fault.ends_again.longest, fault.ends_again.count),
        f"{own.p50:.1f} / {own.longest:.1f} s ({own.count})" if own.count else "-",
    )


def _short(p50: float, longest: float, count: int) -> str:
    return f"{p50:.1f} / {longest:.1f} s" if count else "-"
