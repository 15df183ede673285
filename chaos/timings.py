"""How long everything took to be well again: figures from a run's history and rows."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from math import inf
from statistics import median

import msgspec

from chaos.evidence import ACCEPTED, Case, Evidence
from chaos.faults import BY_NAME
from chaos.history import Call, Fault
from chaos.rules import AFTERMATH_SECONDS, FINAL

UNAVAILABLE = 503


class Spread(msgspec.Struct, frozen=True):
    """Seconds, of so many."""

    count: int
    p50: float
    longest: float

    def __str__(self) -> str:
        return f"{self.p50:.1f} s p50, {self.longest:.1f} s max, of {self.count}" if self.count else "-"


class OfFault(msgspec.Struct, frozen=True, kw_only=True):
    """What a kind of fault cost."""

    name: str
    times: int
    submits: int  # sent and answered, or given up, while it held
    accepted: int
    refusals: Spread  # seconds to an answer of 503
    unanswered: int
    accepts_again: Spread
    ends_again: Spread
    orphans_run_again: Spread  # from the kill of their worker to the start of the next attempt
    waiting_run: Spread  # from the loss of their messages to the start of an attempt


class Targets(msgspec.Struct, frozen=True, kw_only=True):
    """What was wanted of this version; only what a single fault explains counts."""

    without_broker: int  # submits while nothing but the broker was broken
    without_broker_accepted: int
    without_store: Spread  # seconds to a 503 while nothing but the store was broken
    dead_workers: Spread
    lost_messages: Spread
    told: Spread


class Timings(msgspec.Struct, frozen=True, kw_only=True):
    """All figures of a run."""

    targets: Targets
    faults: list[OfFault]
    undisturbed: Spread  # from submit to known end of echo jobs that no fault touched


def spread(seconds: Iterable[float]) -> Spread:
    """Return the middle and the longest of some times."""
    every = sorted(seconds)
    return Spread(len(every), median(every), every[-1]) if every else Spread(0, 0.0, 0.0)


def timings(evidence: Evidence) -> Timings:
    """Return the figures of a run."""
    by_name: dict[str, list[Fault]] = defaultdict(list)
    for fault in evidence.history.faults:
        by_name[fault.name].append(fault)
    return Timings(
        targets=_targets(evidence),
        faults=[_of_fault(evidence, name, faults) for name, faults in sorted(by_name.items())],
        undisturbed=spread(_undisturbed(evidence)),
    )


def _targets(evidence: Evidence) -> Targets:
    faults = evidence.history.faults
    without_broker = _submits_under(evidence, "broker")
    # A job in a process may wait for those before it, however soon a worker is told of it again.
    unhindered = {case.row.id for case in evidence.cases if case.row and not case.kind.takes_process}
    return Targets(
        without_broker=len(without_broker),
        without_broker_accepted=sum(call.status == ACCEPTED for call in without_broker),
        without_store=spread(
            (call.answered or 0) - call.invoked
            for call in _submits_under(evidence, "store")
            if call.status == UNAVAILABLE
        ),
        # After the death of everything, sweepers that have just started wait for one lease: that is no single fault.
        dead_workers=spread(
            each
            for fault in faults
            if fault.name == "kill worker" and _stays_alone(evidence, fault)
            for each in _next_starts(evidence, fault, fault.orphans)
        ),
        lost_messages=spread(
            each
            for fault in faults
            for each in _next_starts(evidence, fault, [new for new in _fresh(fault) if new[0] in unhindered])
        ),
        # From a job's end, the healing of what hid it, or the first time the client asked, until it knew.
        told=spread(late for case in evidence.cases for late in _told_late(evidence, case)),
    )


def _submits_under(evidence: Evidence, broken: str) -> list[Call]:
    """Return the submits that were answered, or given up, while this alone was broken."""
    faults = [(fault, BY_NAME[fault.name].hits) for fault in evidence.history.faults]
    windows = [(fault.held, fault.undoing) for fault, hits in faults if hits == broken and fault.held and fault.undoing]
    others = [(fault.began, (fault.healed or inf) + AFTERMATH_SECONDS) for fault, hits in faults if hits != broken]
    return [
        call
        for begin, end in windows
        for call in evidence.submits_between(begin, end)
        if not any(begin < call.invoked < end for begin, end in others)
        # A machine that stands still is one more fault, and not ours.
        and not evidence.slow(evidence.wall(call.invoked), evidence.wall(call.answered or call.invoked))
    ]


def _of_fault(evidence: Evidence, name: str, faults: Sequence[Fault]) -> OfFault:
    submits = [
        call
        for fault in faults
        if fault.held is not None and fault.undoing is not None
        for call in evidence.submits_between(fault.held, fault.undoing)
    ]
    return OfFault(
        name=name,
        times=len(faults),
        submits=len(submits),
        accepted=sum(call.status == ACCEPTED for call in submits),
        refusals=spread((call.answered or 0) - call.invoked for call in submits if call.status == UNAVAILABLE),
        unanswered=sum(call.status == 0 for call in submits),
        accepts_again=spread(fault.accepted_seconds for fault in faults if fault.accepted_seconds is not None),
        ends_again=spread(fault.ended_seconds for fault in faults if fault.ended_seconds is not None),
        orphans_run_again=spread(
            seconds for fault in faults for seconds in _next_starts(evidence, fault, fault.orphans)
        ),
        waiting_run=spread(seconds for fault in faults for seconds in _next_starts(evidence, fault, _fresh(fault))),
    )


def _stays_alone(evidence: Evidence, fault: Fault) -> bool:
    until = (fault.held or fault.began) + evidence.history.lease_seconds + AFTERMATH_SECONDS
    return not any(
        each is not fault and fault.began <= each.began < until and BY_NAME[each.name].hits in ("worker", "store")
        for each in evidence.history.faults
    )


def _fresh(fault: Fault) -> list[tuple[str, int]]:
    return [(job_id, 0) for job_id in fault.waiting]


def _next_starts(evidence: Evidence, fault: Fault, attempts: Iterable[tuple[str, int]]) -> list[float]:
    hit = evidence.wall(fault.held or fault.began)
    nexts = [evidence.starts.get((job_id, number + 1)) for job_id, number in attempts]
    return [max(0.0, start - hit) for start in nexts if start is not None]


def _told_late(evidence: Evidence, case: Case) -> list[float]:
    row = case.row
    waiting = [call.invoked for call in case.calls if call.verb == "look"]
    known = [call.answered for call in case.calls if call.state in FINAL and call.answered is not None]
    # Who is told of an end by a 202 that came late has not waited for it.
    if row is None or row.finished_at is None or not known or not waiting or min(known) < min(waiting):
        return []
    since, told = evidence.wall(min(waiting)), evidence.wall(min(known))
    healed = [
        evidence.wall(fault.healed)
        for fault in evidence.history.faults
        if fault.healed is not None and evidence.wall(fault.began) < told and evidence.wall(fault.healed) < told
    ]
    return [max(0.0, told - max([since, row.finished_at, *healed]))]


def _undisturbed(evidence: Evidence) -> list[float]:
    seconds = []
    everything = frozenset({"api", "worker", "broker", "store", "disk"})
    for case in evidence.cases:
        ends = [call.answered for call in case.sights if call.state in FINAL and call.answered]
        if case.kind.name != "echo" or not ends:
            continue
        first, last = case.calls[0].invoked, min(ends)
        if not evidence.during(evidence.wall(first), evidence.wall(last), of=everything, after=10.0):
            seconds.append(last - first)
    return seconds
