"""What must be true at every commit, at every answer, and once all is quiet."""

import sqlite3
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from offload_api.collecting import Collector
from offload_shared.artifacts import Artifacts
from offload_shared.job import Hint
from offload_worker.running import RunningAttempt
from tests.simulation.flow_rules import FlowRules
from tests.simulation.scheduler import Process

if TYPE_CHECKING:
    from tests.simulation.world import World

FINAL = ("succeeded", "failed", "cancelled")
MOST_LOSSES = 3
#: In calm, what a worker is told of by the store stops within this time: a heartbeat and a turn of its watchers.
STOP_SECONDS = 5.0
#: After a thaw, the watchdog's next turn ends what has no lease any more.
THAW_SECONDS = 2.5
#: A forward jump of the store's clock ends leases that their workers learn of with the next good heartbeat.
JUMP_SECONDS = 15.0
#: In calm, a broker that lost all its messages has them again within this time: connecting, and a turn of a relay.
HINT_SECONDS = 12.0
LONG_SECONDS = 5.0

_COLUMNS = (
    "id, state, version, attempt, errors, losses, cancel_requested, run_at, deadline_at, lease_owner, idempotency_key,"
    " max_attempts, failure, queue, flow_id, step, waits_for, if_failed"
)

Row = sqlite3.Row


class KeysInMemory:
    """As `offload_shared.artifacts.Artifacts`, as far as what collects files needs it."""

    def __init__(self, keys: set[str]) -> None:
        self._keys = keys

    def delete_all(self, prefix: str, *, but: str = "") -> None:
        """Remove the keys below a prefix and not below another."""
        self._keys -= {key for key in self._keys if key.startswith(prefix) and not (but and key.startswith(but))}


@dataclass(eq=False)
class Run:
    """Work of an attempt under way in a process."""

    process: Process
    attempt: RunningAttempt
    began: float
    seconds: float  # that it takes if nobody stops it
    ended: bool = False
    must_end_by: float | None = None  # once another attempt runs

    @property
    def job_id(self) -> str:
        return self.attempt.job.id


class Checker:
    """Watches one seed; what is wrong is told to the world, which then stops."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.made: dict[tuple[str, int], bytes] = {}  # by lease: what the attempt returned
        self.acknowledgements: dict[str, str] = {}  # job ids by key
        self._rows: dict[str, Row] = {}
        self._flows = FlowRules(world.real.observed, self._require)
        self._runs: list[Run] = []
        self._running: list[Run] = []
        self._versions: dict[str, int] = {}  # the highest that the API has answered
        self._cancelled_at: dict[str, float] = {}
        self._cancel_answered: set[str] = set()
        self._jumped_at = -1000.0

    # At every commit

    def committed(self, process: Process) -> None:
        """Look at what a transaction has changed."""
        for row in self._world.real.observed.execute(f"SELECT {_COLUMNS} FROM job"):
            old = self._rows.get(row["id"])
            if old is None or tuple(old) != tuple(row):
                self._rows[row["id"]] = row
                self._note(process, old, row)
                self._check_change(old, row)

    def _note(self, process: Process, old: Row | None, row: Row) -> None:
        before = f"{old['state']} v{old['version']}" if old else "none"
        after = f"{row['state']} v{row['version']}, attempt {row['attempt']}"
        self._world.note(process, f"writes {before} -> {after}{', cancel' * row['cancel_requested']}", row["id"])

    def _check_change(self, old: Row | None, row: Row) -> None:
        job_id = row["id"]
        if old is None:
            self._require(row["state"] == "queued" and row["attempt"] == 0, "a job is added as queued", job_id)
            if row["flow_id"]:
                self._flows.check_added(row)
            return
        was, state = old["state"], row["state"]
        self._require(was not in FINAL, "no final job changes", job_id)
        self._require(row["version"] >= old["version"], "a version never falls", job_id)
        self._require(state == was or row["version"] > old["version"], "a change of state raises the version", job_id)
        claims = was == "queued" and state == "running"
        self._require(
            row["attempt"] == old["attempt"] + claims, "a claim raises the attempt by one, nothing else does", job_id
        )
        if claims:
            self._check_claim(old)
        elif was == "running" and state == "running":
            self._require(row["lease_owner"] == old["lease_owner"], "a running attempt stays with its worker", job_id)
        if was == "running" and state != "running":
            self._check_end(old, row)
        if row["cancel_requested"] and not old["cancel_requested"]:
            self._cancelled_at[job_id] = self._world.scheduler.now
        self._require(
            not (was == "running" and old["cancel_requested"] and state in ("queued", "failed")),
            "a job whose cancel was requested ends as cancelled, or as succeeded",
            job_id,
        )

    def _check_claim(self, old: Row) -> None:
        now = self._store_now()
        self._require(old["run_at"] <= now, "nothing starts before its time", old["id"])
        self._require(old["deadline_at"] is None or old["deadline_at"] > now, "nothing starts too late", old["id"])
        self._require(not old["cancel_requested"], "what was cancelled while it waited never runs", old["id"])
        if old["flow_id"]:
            self._flows.check_claim(old)

    def _check_end(self, old: Row, row: Row) -> None:
        job_id = row["id"]
        ended = self._attempts(job_id)
        numbers = [each["number"] for each in ended]
        self._require(
            numbers == list(range(1, row["attempt"] + 1)), "attempts are 1 to n, each with one outcome", job_id
        )
        counted = ended[:-1] if row["state"] == "cancelled" else ended  # the last one's end decides nothing then
        failures = Counter(each["failure"] for each in counted)
        self._require(row["errors"] == failures["error"], "every error is counted", job_id)
        self._require(row["losses"] == failures["lost"] + failures["crashed"], "every loss is counted", job_id)
        self._require(row["errors"] <= row["max_attempts"], "errors stay within their limit", job_id)
        self._require(row["losses"] <= MOST_LOSSES, "losses stay within their limit", job_id)
        if row["state"] == "queued":
            self._require(
                row["errors"] < row["max_attempts"] and row["losses"] < MOST_LOSSES,
                "a job at its limit is not tried again",
                job_id,
            )
        self._check_result(row, ended)

    def _check_result(self, row: Row, ended: list[Row]) -> None:
        job_id = row["id"]
        results = [(each["number"], each["result"]) for each in ended if each["outcome"] == "succeeded"]
        mine = self.made.get((job_id, row["attempt"]))
        expected = [(row["attempt"], mine)] if row["state"] == "succeeded" else []
        self._require(
            results == expected, "a job has succeeded exactly when its last attempt's own result is stored", job_id
        )

    def _attempts(self, job_id: str) -> list[Row]:
        statement = "SELECT number, outcome, failure, result FROM attempt WHERE job_id = ? ORDER BY number"
        return list(self._world.real.observed.execute(statement, (job_id,)))

    # At every answer

    def acknowledged(self, key: str, job_id: str) -> None:
        """Take note of a 202."""
        self._world.count("acknowledged")
        self._world.note(None, "a client is answered 202", job_id)
        self._require(job_id in self._rows, "what was answered 202 is in the store", job_id)
        known = self.acknowledgements.setdefault(key, job_id)
        self._require(known == job_id, "one key names one job", job_id)

    def acknowledged_flow(self, key: str, jobs: dict[str, str]) -> None:
        """Take note of a 202 with these jobs."""
        for name, job_id in jobs.items():
            self.acknowledged(f"{key} {name}", job_id)

    def told_version(self, job_id: str) -> int:
        """Return what any client knows of a job now: a later question is not answered with less."""
        return self._versions.get(job_id, 0)

    def told(self, body: dict[str, Any], version: int, floor: int) -> None:
        """Take note of what a client is told of a job; `floor` was known before it asked."""
        job_id = body["id"]
        self._require(version >= floor, "what is answered about a job never goes backwards", job_id)
        self._versions[job_id] = max(version, self._versions.get(job_id, 0))
        shown = len(body["attempts"])
        runs = body["state"] == "running"
        self._require(
            shown == body["attempt"] - runs,
            "an answer shows one job at one moment: its state fits its attempts",
            job_id,
        )

    def any_hint(self) -> Hint | None:
        """Return a hint at any job there is."""
        rows = list(self._rows.values())
        if not rows:
            return None
        row = self._world.rng.choice(rows)
        return Hint(row["id"], row["queue"])

    def cancel_answered(self, job_id: str) -> None:
        """Take note that a client's cancel was accepted."""
        self._require(job_id in self._cancelled_at, "a cancel that was answered is in the store", job_id)

    # Of work

    def run_begins(self, process: Process, attempt: RunningAttempt, seconds: float) -> Run:
        """Take note that work begins; raises nothing."""
        now = self._world.scheduler.now
        run = Run(process, attempt, now, seconds)
        self._world.note(process, f"runs attempt {attempt.job.attempt}", run.job_id)
        for other in self._running:
            if other.job_id == run.job_id:
                other.must_end_by = self._excused_until(other, now)
                self._require(
                    other.must_end_by is not None, "no two attempts work at once under living leases", run.job_id
                )
        self._runs.append(run)
        self._running.append(run)
        return run

    def _excused_until(self, run: Run, now: float) -> float | None:
        """Return until when an attempt may work on though its job runs elsewhere: it could not know."""
        thaws = run.process.frozen_until
        excuses = [thaws + THAW_SECONDS] if now <= thaws + THAW_SECONDS else []
        if now <= self._jumped_at + 2 * JUMP_SECONDS:
            excuses.append(now + JUMP_SECONDS)
        return max(excuses, default=None)

    def run_ends(self, run: Run) -> None:
        """Take note that work is over."""
        if run.ended:
            return
        run.ended = True
        self._running.remove(run)
        now = self._world.scheduler.now
        late = run.must_end_by is not None and now > max(run.must_end_by, run.process.frozen_until + THAW_SECONDS)
        self._require(not late, "an attempt that lost its lease is ended", run.job_id)
        cancelled_at = self._cancelled_at.get(run.job_id)
        if cancelled_at is not None:
            heard = max(cancelled_at, run.began, self._world.calm_at)
            self._require(now <= heard + STOP_SECONDS, "a cancelled attempt is ended soon", run.job_id)

    def working(self) -> list[Process]:
        """Return the processes in which work is under way that will outlast a lease."""
        return [run.process for run in self._running if run.seconds > LONG_SECONDS]

    def works_on(self, job_id: str) -> bool:
        """Whether work of an attempt of this job is under way."""
        return any(run.job_id == job_id for run in self._running)

    def process_ended(self, process: Process) -> None:
        """Take note that a process is gone, and its work with it."""
        for run in [run for run in self._running if run.process is process]:
            self.run_ends(run)

    def clock_jumped(self) -> None:
        """Take note of a jump of the store's clock."""
        self._jumped_at = self._world.scheduler.now

    # In calm

    def broker_lost_everything(self) -> None:
        """Hold the relays to what they owe after the last fault."""
        assert self._world.broker is not None
        now, store_now = self._world.scheduler.now, self._store_now()
        due = [
            row["id"]
            for row in self._rows.values()
            if row["state"] == "queued" and row["run_at"] <= store_now and row["deadline_at"] is None
        ]
        self._world.scheduler.at(now + HINT_SECONDS, lambda: self._check_hinted(due, now))

    def _check_hinted(self, due: list[str], lost_at: float) -> None:
        broker = self._world.broker
        assert broker is not None
        for job_id in due:
            waits = self._rows[job_id]["state"] == "queued" and self._rows[job_id]["run_at"] <= self._store_now()
            hinted = broker.hinted_at.get(job_id, -1.0) >= lost_at
            self._require(hinted or not waits, "a broker that lost its messages soon gets them again", job_id)

    @property
    def quiet(self) -> bool:
        """Whether every job is final."""
        return all(row["state"] in FINAL for row in self._rows.values())

    def final_check(self) -> None:
        """Check what must be true in the end."""
        self.committed(Process("the checker"))
        for row in self._rows.values():
            self._require(row["state"] in FINAL, "in the end every job is final", row["id"])
            self._check_final(row)
        for key, job_id in self.acknowledgements.items():
            self._require(job_id in self._rows, "what was answered 202 exists", job_id)
            if not self._rows[job_id]["flow_id"]:
                same = [row["id"] for row in self._rows.values() if row["idempotency_key"] == key]
                self._require(same == [job_id], "one key makes one job", job_id)
        self._flows.check_keys(self._rows.values())
        self._check_artifacts()
        self._count()

    def _check_artifacts(self) -> None:
        Collector(self._world.real.database, cast("Artifacts", KeysInMemory(self._world.artifacts))).collect()
        named = set[str]()
        for row in self._world.real.observed.execute("SELECT job_id, key FROM artifact"):
            named.add(row["key"])
            self._require(row["key"] in self._world.artifacts, "an artifact that a row names is there", row["job_id"])
        for key in sorted(self._world.artifacts - named):
            self._require(False, "no artifact is left that no row names", key.split("/")[1])

    def _check_final(self, row: Row) -> None:
        ended = self._attempts(row["id"])
        numbers = [each["number"] for each in ended]
        self._require(
            numbers == list(range(1, row["attempt"] + 1)), "attempts are 1 to n, each with one outcome", row["id"]
        )
        self._check_result(row, ended)
        if row["state"] == "failed" and row["failure"] == "error":
            self._require(row["errors"] == row["max_attempts"], "a job fails for errors at its limit", row["id"])
        if row["state"] == "failed" and row["failure"] in ("lost", "crashed"):
            self._require(row["losses"] == MOST_LOSSES, "a job fails for losses at its limit", row["id"])
        if row["flow_id"] and row["id"] not in self._cancelled_at:
            self._flows.check_final(row)
        if row["id"] in self._cancelled_at:
            self._require(row["state"] in ("cancelled", "succeeded"), "what was cancelled does not fail", row["id"])

    def _count(self) -> None:
        known = set(self.acknowledgements.values())
        for row in self._rows.values():
            self._world.count("jobs")
            self._world.count(f"ended {row['state']}")
            runs = sum(run.job_id == row["id"] for run in self._runs)
            self._world.count("run twice or more", runs > 1)
            self._world.count("recovered: no 202, yet it ended", row["id"] not in known)
        self._world.count("lost", len(known - self._rows.keys()))

    def _store_now(self) -> str:
        return datetime.fromtimestamp(self._world.wall(), UTC).strftime("%Y-%m-%d %H:%M:%S.%f")

    def _require(self, holds: bool, invariant: str, job_id: str) -> None:
        if not holds:
            self._world.violated(invariant, job_id)
