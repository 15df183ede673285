"""What must hold of every run, whatever was broken meanwhile: one function a rule, which yields what breaks it."""

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import pairwise
from typing import Any

import msgspec

from chaos import faults
from chaos.evidence import Case, Evidence
from chaos.history import Call
from chaos.kinds import note_field
from chaos.store import AttemptRow, JobRow

FINAL = ("succeeded", "failed", "cancelled")
LOSSES = ("lost", "crashed")
MOST_LOSSES = 3
#: A claim compares with the time its transaction began, and stamps the moment itself.
CLAIM_SECONDS = 0.25
#: Between a fault's end and its last effect: what was held up meanwhile, on busy cores.
AFTERMATH_SECONDS = 10.0
MINUTE_SECONDS = 60
#: A time of a schedule that is over for as long counts as missed; less what a transaction may last.
MISSED_SECONDS = 55.0
#: What docs/http.md says of such a request; 408 when this client itself was too slow, and 0 for no answer.
STATUSES = {
    "submit": {0, 202, 408, 503},
    "look": {0, 200, 304, 408, 503},
    "result": {0, 200, 408, 503},
    "cancel": {0, 200, 202, 408, 409, 503},
    "artifact": {0, 200, 408, 503},
    "add-schedule": {0, 201, 408, 503},
    "remove-schedule": {0, 204, 404, 408, 503},  # 404 where an earlier answer was lost
}


class Violation(msgspec.Struct, frozen=True):
    """Something that must not be: the rule it breaks, the job's note, and what is wrong."""

    rule: str
    note: str
    what: str


Rule = Callable[[Evidence], Iterator[tuple[str, str]]]


def nothing_acknowledged_is_lost(evidence: Evidence) -> Iterator[tuple[str, str]]:
    """What was answered 202 exists, and has ended."""
    for case in evidence.cases:
        stored = {row.id for row in case.rows}
        for call in case.acknowledged:
            if call.job_id not in stored:
                yield case.note, f"job {call.job_id} was answered 202 and is not in the store"


def every_job_has_ended(evidence: Evidence) -> Iterator[tuple[str, str]]:
    """After quiet no job waits or runs, whether its client knows of it or not."""
    for case in evidence.cases:
        for row in case.rows:
            if row.state not in FINAL:
                yield case.note, f"job {row.id} ({case.kind.name}) is still {row.state}, attempt {row.attempt}"


def one_job_for_one_submit(evidence: Evidence) -> Iterator[tuple[str, str]]:
    """A key names one job, however often and wherever it was submitted; nothing appears that nobody submitted."""
    for case in evidence.cases:
        ids = {call.job_id for call in case.acknowledged}
        if len(case.rows) > 1 or len(ids) > 1:
            yield case.note, f"{len(case.rows)} jobs are stored, and 202 named {sorted(ids)}"
        for row in case.rows:
            if row.idempotency_key != case.planned.key:
                yield case.note, f"job {row.id} is stored with the key {row.idempotency_key!r}"
    for row in evidence.strangers:
        yield "", f"nobody submitted job {row.id}"


def jobs_end_as_their_kind_does(evidence: Evidence) -> Iterator[tuple[str, str]]:
    """Each job comes to one of the ends of its kind, unless a fault that was injected explains another."""
    for case in evidence.cases:
        if case.end.partition(":")[0] in FINAL and case.end not in case.kind.ends and not _explained(evidence, case):
            yield case.note, f"a job of kind {case.kind.name} ended as {case.end}: {_told(case)}"


def _explained(evidence: Evidence, case: Case) -> bool:
    failures = [attempt.failure for attempt in case.attempts]
    if case.end in ("failed:lost", "failed:crashed"):
        return sum(failure in LOSSES for failure in failures) == MOST_LOSSES  # each of which has its own rule
    if case.end == "failed:error" and case.kind.name == "artifact":
        return all(
            evidence.during(attempt.started_at, attempt.finished_at, of=frozenset({"disk"}))
            for attempt in case.attempts
            if attempt.failure == "error"
        )
    return False


def losses_have_causes(evidence: Evidence) -> Iterator[tuple[str, str]]:
    """An attempt is lost, or crashes against its kind, only when what it depended on was broken, or stood still."""
    lease = evidence.history.lease_seconds
    for case in evidence.cases:
        own = case.kind.own_losses
        for attempt in case.attempts:
            if attempt.failure == "crashed":
                own -= 1
                depends_on, after = frozenset({"worker"}), AFTERMATH_SECONDS
                if own >= 0:
                    continue
            elif attempt.failure == "lost":
                depends_on, after = frozenset({"worker", "store"}), lease + AFTERMATH_SECONDS
            else:
                continue
            broken = evidence.during(attempt.started_at, attempt.finished_at, of=depends_on, after=after)
            if not (broken or evidence.slow(attempt.started_at, attempt.finished_at)):
                yield case.note, f"attempt {attempt.number} is {attempt.failure} though nothing was broken: {attempt}"


def success_has_one_result(evidence: Evidence) -> Iterator[tuple[str, str]]:
    """A job has succeeded exactly when one attempt has, its last, and the result is that attempt's."""
    for case in evidence.cases:
        row = case.row
        if row is None:
            continue
        succeeded = [attempt for attempt in case.attempts if attempt.outcome == "succeeded"]
        wanted = [row.attempt] if row.state == "succeeded" else []
        if [attempt.number for attempt in succeeded] != wanted:
            yield case.note, f"{row.state} in attempt {row.attempt}, results of {[each.number for each in succeeded]}"
        for attempt in succeeded:
            if (wrong := _wrong_result(case, attempt)) is not None:
                yield case.note, f"the result of attempt {attempt.number} is not what was asked for: {wrong}"


def _wrong_result(case: Case, attempt: AttemptRow) -> str | None:
    result: dict[str, Any] = json.loads(attempt.result or "null") or {}
    right = case.kind.name == "leaves-daemon" or result.get(note_field(case.kind.task)) == case.note
    return None if right and result.get("attempt", attempt.number) == attempt.number else str(attempt.result)


def clients_get_the_result_that_is_stored(evidence: Evidence) -> Iterator[tuple[str, str]]:
    """Every answer with a result is the stored one; every artifact is what its job wrote."""
    for case in evidence.cases:
        stored = {attempt.result for attempt in case.attempts if attempt.outcome == "succeeded"}
        for call in case.calls:
            if call.verb == "result" and call.status == 200 and call.body not in stored:
                yield case.note, f"the client was given the result {call.body!r}, stored is {stored}"
            if call.verb == "artifact" and call.status == 200 and call.body != case.note:
                yield case.note, f"the artifact reads {call.body[:100]!r}"
        if case.kind.name == "artifact" and case.end == "succeeded" and len(case.artifacts) != 1:
            yield case.note, f"it has left {len(case.artifacts)} artifacts"


def attempts_are_counted(evidence: Evidence) -> Iterator[tuple[str, str]]:
    """Attempts are 1 to n, each with one end, one after the other, within the limits of errors and losses."""
    for case in evidence.cases:
        row, numbers = case.row, [attempt.number for attempt in case.attempts]
        if row is None or len(case.rows) > 1:
            continue
        ended = row.attempt - (row.state == "running")
        if numbers != list(range(1, ended + 1)):
            yield case.note, f"attempt {row.attempt}, {row.state}, and attempts {numbers} have ended"
        for earlier, later in pairwise(case.attempts):
            if later.started_at < earlier.finished_at:
                yield case.note, f"attempt {later.number} started before attempt {earlier.number} was over"
        errors = sum(attempt.failure == "error" for attempt in case.attempts)
        losses = sum(attempt.failure in LOSSES for attempt in case.attempts)
        if errors > row.max_attempts or losses > MOST_LOSSES:
            yield case.note, f"{errors} errors of {row.max_attempts}, {losses} losses of {MOST_LOSSES}"


def what_was_cancelled_while_it_waited_never_ran(evidence: Evidence) -> Iterator[tuple[str, str]]:
    """A cancel that was answered 200 before any attempt has kept every attempt from starting."""
    for case in evidence.cases:
        for call in case.calls:
            cancelled = call.verb == "cancel" and call.status == 200 and call.state == "cancelled"
            if cancelled and call.attempt == 0 and case.attempts:
                yield case.note, f"cancelled while queued, and {len(case.attempts)} attempts have run"


def nothing_starts_out_of_its_time(evidence: Evidence) -> Iterator[tuple[str, str]]:
    """No attempt starts before its job's `run_at`, nor after its deadline, by the store's clock."""
    for case in evidence.cases:
        row, body = case.row, case.planned.body
        if row is None:
            continue
        earliest = max(row.created_at + body.get("delay_seconds", 0), _moment(body.get("run_at")))
        latest = row.deadline_at
        for attempt in case.attempts:
            if attempt.started_at < earliest:
                yield case.note, f"attempt {attempt.number} started {earliest - attempt.started_at:.3f} s too early"
            late = attempt.started_at - (latest or attempt.started_at)
            store_was_away = evidence.during(attempt.started_at - late, attempt.started_at, of=frozenset({"store"}))
            if late > CLAIM_SECONDS and not store_was_away:
                yield case.note, f"attempt {attempt.number} started {late:.3f} s after the deadline"


def _moment(text: str | None) -> float:
    return datetime.fromisoformat(text).timestamp() if text else 0.0


def answers_never_go_back(evidence: Evidence) -> Iterator[tuple[str, str]]:
    """What was answered before a request was sent is not older than the answer to it, through whichever API."""
    for case in evidence.cases:
        newest, answered = 0, sorted(case.sights, key=lambda call: call.answered or 0.0)
        seen = iter(answered)
        earlier = next(seen, None)
        for call in sorted(case.sights, key=lambda call: call.invoked):
            while earlier is not None and (earlier.answered or 0.0) < call.invoked:
                newest = max(newest, earlier.version)
                earlier = next(seen, None)
            if call.version < newest:
                yield case.note, f"version {newest} was seen, and then {call.verb} answered version {call.version}"


def an_end_is_the_end(evidence: Evidence) -> Iterator[tuple[str, str]]:
    """Whoever saw a job ended saw it as it still is: same state, same version."""
    for case in evidence.cases:
        row = case.row
        for call in case.sights:
            if row is not None and call.state in FINAL and (call.state, call.version) != (row.state, row.version):
                seen, now = f"{call.state}, version {call.version}", f"{row.state}, version {row.version}"
                yield case.note, f"seen as {seen}; now it is {now}"


def no_202_while_nothing_can_be_stored(evidence: Evidence) -> Iterator[tuple[str, str]]:
    """No submit that was sent and answered while the store was away was answered 202."""
    away = [
        (fault.held, fault.undoing)
        for fault in evidence.history.faults
        if faults.BY_NAME[fault.name].denies_store and fault.held is not None and fault.undoing is not None
    ]
    for case in evidence.cases:
        for call in case.acknowledged:
            if any(_within(call, begin, end) for begin, end in away):
                yield case.note, f"answered 202 while the store was away: {call}"


def _within(call: Call, begin: float, end: float) -> bool:
    return begin < call.invoked and call.answered is not None and call.answered < end


def answers_are_documented(evidence: Evidence) -> Iterator[tuple[str, str]]:
    """Every status is one that such a request may be answered with, however broken the rest is."""
    for call in evidence.history.calls:
        if call.status not in STATUSES[call.verb]:
            disk = evidence.during(evidence.wall(call.invoked), evidence.wall(call.invoked), of=frozenset({"disk"}))
            if not (call.verb == "artifact" and disk):
                yield call.note, f"{call.verb} was answered {call.status}"


def each_time_of_a_schedule_has_one_job(evidence: Evidence) -> Iterator[tuple[str, str]]:
    """Every minute of a schedule's life has one job, or was missed for so long that an earlier one's stands for it."""
    for schedule in evidence.recurring:
        minutes = [_minute(row) for row in schedule.rows]
        for row, minute in zip(schedule.rows, minutes, strict=True):
            if minute is None or minute % MINUTE_SECONDS:
                yield schedule.note, f"job {row.id} is of no time of its schedule: {row.idempotency_key!r}"
            elif minutes.count(minute) > 1:
                yield schedule.note, f"job {row.id} is not the only one of its time"
        first = int(schedule.added // MINUTE_SECONDS + 1) * MINUTE_SECONDS
        for minute in range(first, int(schedule.removed - AFTERMATH_SECONDS) + 1, MINUTE_SECONDS):
            late = [row.created_at for row, at in zip(schedule.rows, minutes, strict=True) if at and at < minute]
            if minute not in minutes and max(late, default=0.0) < minute + MISSED_SECONDS:
                yield schedule.note, f"the time {minute} has no job, and no earlier one's was added after it"


def _minute(row: JobRow) -> float | None:
    schedule, _, at = (row.idempotency_key or "").partition("\n")
    return datetime.fromisoformat(at).timestamp() if schedule == f"schedule {row.schedule_id}" else None


def nothing_ends_by_itself(evidence: Evidence) -> Iterator[tuple[str, str]]:
    """No process of ours ends that nobody has ended; one that starts while the store is away may refuse to."""
    for ended in evidence.history.ended:
        at = evidence.wall(ended.at)
        refused = ended.status == 1 and "store" in ended.said
        if not (refused and evidence.during(at - 15, at, of=frozenset({"store"}), after=AFTERMATH_SECONDS)):
            yield "", f"{ended.name} ended by itself with status {ended.status}: {ended.said[-300:]}"


def _told(case: Case) -> str:
    return "; ".join(f"{each.number} {each.failure or each.outcome} {each.detail or ''}" for each in case.attempts)


RULES: tuple[Rule, ...] = (
    nothing_acknowledged_is_lost,
    every_job_has_ended,
    one_job_for_one_submit,
    jobs_end_as_their_kind_does,
    losses_have_causes,
    success_has_one_result,
    clients_get_the_result_that_is_stored,
    attempts_are_counted,
    what_was_cancelled_while_it_waited_never_ran,
    nothing_starts_out_of_its_time,
    answers_never_go_back,
    an_end_is_the_end,
    no_202_while_nothing_can_be_stored,
    answers_are_documented,
    each_time_of_a_schedule_has_one_job,
    nothing_ends_by_itself,
)
