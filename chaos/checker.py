"""Judges a run: applies every rule, and counts jobs in Jepsen's classes."""

from collections import Counter

import msgspec

from chaos.evidence import Case, Evidence
from chaos.history import History
from chaos.kinds import RECURRING
from chaos.rules import FINAL, RULES, Violation
from chaos.store import Rows


class Classes(msgspec.Struct, frozen=True, kw_only=True):
    """How many jobs there are of each class."""

    attempted: int
    recurring: int  # beside these, added by schedules
    acknowledged: int
    ok: int  # acknowledged, and ended as its kind may or as a fault explains
    lost: int  # acknowledged, and not there or not ended
    recovered: int  # never acknowledged, and there all the same
    absent: int  # never acknowledged, and not there
    duplicate_results: int
    false_202: int
    ends: dict[str, int]
    repeats: int  # submits beyond the first of a job
    runs: dict[int, int]  # jobs by how often they ran
    again: dict[str, int]  # attempts that had to be made again, by what became of the one before


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a run."""

    classes: Classes
    violations: list[Violation]


def check(history: History, rows: Rows) -> Verdict:
    """Judge a run by its history and by what the store holds at its end."""
    evidence = Evidence(history, rows)
    violations = [
        Violation(rule.__name__.replace("_", " "), note, what) for rule in RULES for note, what in rule(evidence)
    ]
    return Verdict(classes=_classes(evidence.cases, violations), violations=violations)


def _classes(cases: list[Case], violations: list[Violation]) -> Classes:
    submitted = [case for case in cases if case.kind is not RECURRING]
    acknowledged = [case for case in submitted if case.acknowledged]
    others = [case for case in submitted if not case.acknowledged]
    blamed = {violation.note for violation in violations}
    return Classes(
        attempted=len(submitted),
        recurring=len(cases) - len(submitted),
        acknowledged=len(acknowledged),
        ok=sum(_has_ended(case) and case.note not in blamed for case in acknowledged),
        lost=sum(not _has_ended(case) for case in acknowledged),
        recovered=sum(bool(case.rows) for case in others),
        absent=sum(not case.rows for case in others),
        duplicate_results=sum(_results(case) > 1 for case in cases),
        false_202=sum("202 while" in violation.rule for violation in violations),
        ends=dict(Counter(case.end or "absent" for case in cases).most_common()),
        repeats=sum(max(0, sum(call.verb == "submit" for call in case.calls) - 1) for case in cases),
        runs=dict(sorted(Counter(case.row.attempt for case in cases if case.row).items())),
        again=dict(Counter(each.failure or each.outcome for case in cases for each in case.attempts[:-1])),
    )


def _has_ended(case: Case) -> bool:
    ended = {row.id for row in case.rows if row.state in FINAL}
    return all(call.job_id in ended for call in case.acknowledged)


def _results(case: Case) -> int:
    seen = {call.body for call in case.calls if call.verb == "result" and call.status == 200}
    return max(len(seen), sum(attempt.outcome == "succeeded" for attempt in case.attempts))
