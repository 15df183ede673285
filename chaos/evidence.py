"""What is known of each job: what the client planned and saw, and what the store holds at the end."""

import json
from bisect import bisect_left, bisect_right
from collections import defaultdict
from functools import cached_property

import msgspec

from chaos import faults
from chaos.history import Call, Fault, History, Planned
from chaos.kinds import BY_NAME, RECURRING, Kind, note_field
from chaos.store import ArtifactRow, AttemptRow, JobRow, Rows

CREATED, ACCEPTED = 201, 202


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One job, by its note; `rows` has one row, or none for what was never stored."""

    note: str
    planned: Planned
    calls: list[Call] = []
    rows: list[JobRow] = []
    attempts: list[AttemptRow] = []
    artifacts: list[ArtifactRow] = []

    @property
    def kind(self) -> Kind:
        """Its kind."""
        return BY_NAME[self.planned.kind]

    @property
    def row(self) -> JobRow | None:
        """The job as the store has it."""
        return self.rows[0] if self.rows else None

    @property
    def acknowledged(self) -> list[Call]:
        """The submits that were answered 202."""
        return [call for call in self.calls if call.verb == "submit" and call.status == ACCEPTED]

    @property
    def sights(self) -> list[Call]:
        """The answers that showed the job."""
        return [call for call in self.calls if call.version]

    @property
    def end(self) -> str:
        """The state of the row, with its failure where it has failed: `failed:crashed`."""
        if self.row is None:
            return ""
        return f"{self.row.state}:{self.row.failure}" if self.row.state == "failed" else self.row.state


class Recurring(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule that had a job run every minute, and for how long, by the store's clock."""

    id: str
    note: str
    added: float  # it was by then
    removed: float  # it was not before
    rows: list[JobRow] = []


class Evidence:
    """A run's history and rows, joined."""

    def __init__(self, history: History, rows: Rows) -> None:
        self.history = history
        self.rows = rows

    @cached_property
    def cases(self) -> list[Case]:
        """Every job that was planned, and every one of a schedule."""
        calls, attempts, artifacts = defaultdict(list), defaultdict(list), defaultdict(list)
        by_note = defaultdict(list)
        for row in self.rows.jobs:
            if row.schedule_id is None:
                by_note[_note(row)].append(row)
        for call in self.history.calls:
            calls[call.note].append(call)
        for attempt in sorted(self.rows.attempts, key=lambda attempt: attempt.number):
            attempts[attempt.job_id].append(attempt)
        for artifact in self.rows.artifacts:
            artifacts[artifact.job_id].append(artifact)
        return [
            Case(
                note=note,
                planned=planned,
                calls=calls[note],
                rows=by_note[note],
                attempts=[each for row in by_note[note] for each in attempts[row.id]],
                artifacts=[each for row in by_note[note] for each in artifacts[row.id]],
            )
            for note, planned in self.history.planned.items()
        ] + [
            Case(
                note=each.note,
                planned=Planned(note=each.note, kind=RECURRING.name, body={}, key=row.idempotency_key),
                rows=[row],
                attempts=attempts[row.id],
            )
            for each in self.recurring
            for row in each.rows
        ]

    @cached_property
    def recurring(self) -> list[Recurring]:
        """The schedules that were added."""
        rows: dict[str | None, list[JobRow]] = defaultdict(list)
        removed: dict[str, float] = {}
        for row in self.rows.jobs:
            rows[row.schedule_id].append(row)
        for call in self.history.calls:
            if call.verb == "remove-schedule":
                removed.setdefault(call.note, self.wall(call.invoked))
        return [
            Recurring(
                id=call.job_id,
                note=call.note,
                added=self.wall(call.answered or 0.0),
                removed=removed.get(call.note, 0.0),
                rows=rows[call.job_id],
            )
            for call in self.history.calls
            if call.verb == "add-schedule" and call.status == CREATED
        ]

    @cached_property
    def strangers(self) -> list[JobRow]:
        """Rows of jobs that nobody has planned."""
        schedules = {each.id for each in self.recurring}
        return [
            row
            for row in self.rows.jobs
            if row.schedule_id not in schedules and (row.schedule_id or _note(row) not in self.history.planned)
        ]

    @cached_property
    def submits(self) -> list[Call]:
        """The submits of all jobs, in the order in which they were sent."""
        return [call for call in self.history.calls if call.verb == "submit"]

    def submits_between(self, begin: float, end: float) -> list[Call]:
        """Return the submits that were sent after one time of the history and before another."""
        first = bisect_right(self.submits, begin, key=lambda call: call.invoked)
        return self.submits[first : bisect_left(self.submits, end, key=lambda call: call.invoked)]

    @cached_property
    def starts(self) -> dict[tuple[str, int], float]:
        """When each attempt of each job started, by the store's clock."""
        return {(attempt.job_id, attempt.number): attempt.started_at for attempt in self.rows.attempts}

    def wall(self, at: float) -> float:
        """Turn a time of the history into one of the store."""
        return at + self.history.epoch

    def during(self, begin: float, end: float, *, of: frozenset[str], after: float = 0.0) -> list[Fault]:
        """Return the faults that hit one of these and may have had an effect between two times of the store's clock.

        An effect may show for `after` seconds once a fault is undone.
        """
        return [
            fault
            for fault in self.history.faults
            if faults.BY_NAME[fault.name].hits in of
            and self.wall(fault.began) <= end
            and (fault.healed is None or self.wall(fault.healed) + after >= begin)
        ]

    @cached_property
    def standstills(self) -> list[tuple[float, float]]:
        """When the machine itself stood still, from and to by the store's clock; a broken store is no proof of it."""
        found = [(self.wall(each.at), self.wall(each.at) + each.seconds) for each in self.history.slowed]
        return [(begin, end) for begin, end in found if not self.during(begin, end, of=frozenset({"store"}))]

    def slow(self, begin: float, end: float) -> bool:
        """Whether the machine stood still for a while between two times of the store's clock."""
        return any(since <= end and until >= begin for since, until in self.standstills)


def _note(row: JobRow) -> str:
    return str(json.loads(row.payload).get(note_field(row.task), ""))
