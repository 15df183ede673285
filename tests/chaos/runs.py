"""Hand-made runs: a sound one of a job, and what changes it."""

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
from chaos.checker import check
from chaos.history import Call, Fault, History, Planned, ServiceEnded, Slowed, Verb
from chaos.store import ArtifactRow, AttemptRow, JobRow, Rows

EPOCH = 1000.0  # the store's clock is so far ahead of the history's
NOTE = "7-0"
ID = "job-0"


class Run:
    """A run with one job; the defaults are a sound one, which ends well in its first attempt."""

    def __init__(self, kind: str = "echo", task: str = "echo", **body: Any) -> None:
        field = "text" if task == "echo" else "note"
        self.result = json.dumps({"text": NOTE} if task == "echo" else {"attempt": 1, "pid": 1, "note": NOTE})
        payload = {field: NOTE}
        self.planned = Planned(note=NOTE, kind=kind, body={"task": task, "payload": payload, **body}, key="key")
        self.calls = [
            self.call("submit", 10.0, 202, job_id=ID, state="queued", version=1),
            self.call("look", 11.0, 200, job_id=ID, state="succeeded", version=3, attempt=1),
            self.call("result", 12.0, 200, body=self.result),
        ]
        self.faults: list[Fault] = []
        self.ended: list[ServiceEnded] = []
        self.slowed: list[Slowed] = []
        self.jobs = [
            JobRow(
                id=ID,
                task=task,
                payload=json.dumps(payload),
                state="succeeded",
                version=3,
                attempt=1,
                created_at=EPOCH + 10.05,
                finished_at=EPOCH + 10.9,
                idempotency_key="key",
            )
        ]
        self.attempts = [self.attempt(1, "succeeded", 10.2, 10.9, result=self.result)]
        self.artifacts: list[ArtifactRow] = []

    @staticmethod
    def call(verb: Verb, at: float, status: int, *, seconds: float = 0.1, **answer: Any) -> Call:
        answered = at + seconds if status else None
        return Call(verb=verb, note=NOTE, invoked=at, answered=answered, status=status, **answer)

    @staticmethod
    def attempt(number: int, outcome: str, began: float, ended: float, **more: Any) -> AttemptRow:
        return AttemptRow(
            job_id=ID, number=number, outcome=outcome, started_at=EPOCH + began, finished_at=EPOCH + ended, **more
        )

    @staticmethod
    def fault(name: str, began: float, healed: float) -> Fault:
        return Fault(number=1, name=name, began=began, held=began, undoing=healed, healed=healed)

    def change(self, **values: Any) -> None:
        """Change the job's row."""
        self.jobs[0] = msgspec.structs.replace(self.jobs[0], **values)

    def fails(self, failure: str, attempts: list[AttemptRow]) -> None:
        """Let the job have failed after these attempts, and let the client have seen that."""
        self.attempts = attempts
        self.change(state="failed", failure=failure, attempt=len(attempts))
        self.calls[1:] = [self.call("look", 11.0, 200, job_id=ID, state="failed", version=3, attempt=len(attempts))]

    def schedule(self, *, added: float, minutes: list[int], removed: float) -> None:
        """Add a schedule whose jobs are of these times, by the store's clock, each done at once."""
        self.calls += [
            self.call("add-schedule", added, 201, job_id="every-minute"),
            self.call("remove-schedule", removed, 204),
        ]
        for number, minute in enumerate(minutes):
            at = datetime.fromtimestamp(minute, UTC)
            job = JobRow(
                id=f"recurring-{number}",
                task="echo",
                payload=json.dumps({"text": NOTE}),
                state="succeeded",
                version=3,
                attempt=1,
                created_at=minute + 0.1,
                idempotency_key=f"schedule every-minute\n{at.isoformat()}",
                schedule_id="every-minute",
            )
            done = self.attempt(1, "succeeded", minute + 0.2 - EPOCH, minute + 0.3 - EPOCH, result=self.result)
            self.jobs.append(job)
            self.attempts.append(msgspec.structs.replace(done, job_id=job.id))

    def history(self) -> History:
        calls = sorted(self.calls, key=lambda call: call.invoked)
        return History(
            epoch=EPOCH, lease_seconds=5.0, planned={NOTE: self.planned}, calls=calls, faults=self.faults,
            ended=self.ended, slowed=self.slowed,
        )  # fmt: skip

    def rows(self) -> Rows:
        return Rows(jobs=self.jobs, attempts=self.attempts, artifacts=self.artifacts)

    def broken_rules(self) -> set[str]:
        """Return the rules that the checker finds broken."""
        return {violation.rule for violation in check(self.history(), self.rows()).violations}
