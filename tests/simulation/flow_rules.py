"""What must be true of flows."""

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable

Row = sqlite3.Row

#: How many jobs each simulated flow has.
JOBS = 5


class FlowRules:
    """`require` is told whether a rule holds, its sentence, and of which job."""

    def __init__(self, observed: sqlite3.Connection, require: Callable[[bool, str, str], None]) -> None:
        self._observed = observed
        self._require = require

    def _before(self, job_id: str) -> list[Row]:
        statement = (
            "SELECT job.id, job.state, job.step FROM dependency JOIN job ON job.id = dependency.after_id"
            " WHERE dependency.job_id = ?"
        )
        return list(self._observed.execute(statement, (job_id,)))

    def check_added(self, row: Row) -> None:
        """A flow is there as a whole or not at all."""
        statement = "SELECT count(*) FROM job WHERE flow_id = ?"
        [jobs] = self._observed.execute(statement, (row["flow_id"],)).fetchone()
        whole = jobs == JOBS and len(self._before(row["id"])) == row["waits_for"]
        self._require(whole, "the jobs of a flow are added together, with what they follow", row["id"])

    def check_claim(self, row: Row) -> None:
        """What follows others runs behind them, with what they have made."""
        before = self._before(row["id"])
        final = all(each["state"] in ("succeeded", "failed", "cancelled") for each in before)
        self._require(final, "a job of a flow starts once all that it follows have ended", row["id"])
        good = row["if_failed"] == "run" or all(each["state"] == "succeeded" for each in before)
        self._require(good, "what follows a job that has not succeeded runs only if it is to", row["id"])
        if row["step"] == "both" and final and good:
            self._require(self._payload(row) == self._made(before), "a job takes the result that is stored", row["id"])

    def _payload(self, row: Row) -> object:
        [payload] = self._observed.execute("SELECT payload FROM job WHERE id = ?", (row["id"],)).fetchone()
        return json.loads(payload)["text"]

    def _made(self, before: list[Row]) -> object:
        [left] = [each["id"] for each in before if each["step"] == "left"]
        statement = "SELECT result FROM attempt WHERE job_id = ? AND outcome = 'succeeded'"
        [result] = self._observed.execute(statement, (left,)).fetchone()
        return json.loads(result)

    def check_final(self, row: Row) -> None:
        """What nobody has cancelled ran, or ended as asked behind a job that has not succeeded."""
        good = row["if_failed"] == "run" or all(each["state"] == "succeeded" for each in self._before(row["id"]))
        if good:
            self._require(row["attempt"] > 0, "a job runs where all that it follows have succeeded", row["id"])
            return
        end = "failed" if row["if_failed"] == "fail" else "cancelled"
        told = (row["state"], row["failure"], row["attempt"]) == (end, "dependency", 0)
        self._require(told, "what follows a job that has not succeeded ends as asked", row["id"])

    def check_keys(self, rows: Iterable[Row]) -> None:
        """One key makes one flow."""
        first = [row for row in rows if row["flow_id"] and row["idempotency_key"]]
        times = Counter(row["idempotency_key"] for row in first)
        for row in first:
            self._require(times[row["idempotency_key"]] == 1, "one key makes one flow", row["id"])
