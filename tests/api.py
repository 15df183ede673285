"""An API process of a test, spoken to over HTTP; the test plays the worker through the store's verbs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from offload_shared.job import Outcome, StoredFile, Succeeded, Usage
from offload_shared.store import leases
from offload_shared.store.database import Database
from tests.acceptance.stack import Process, Stack
from tests.jobs import claimed

FINAL = ("succeeded", "failed", "cancelled")


class Api:
    """A running API, a client of it, and the store behind it."""

    def __init__(self, stack: Stack, process: Process, database: Database) -> None:
        self.http = stack.http
        self.process = process
        self.database = database
        self.data = stack.folder / "data"
        self.port = stack.port

    def submit(self, task: str = "echo", payload: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
        answer = self.http.post("/v1/jobs", json={"task": task, "payload": payload or {}, **options})
        assert answer.status_code == 202, answer.text
        return dict(answer.json())

    def job(self, job_id: str) -> dict[str, Any]:
        return dict(self.http.get(f"/v1/jobs/{job_id}").raise_for_status().json())

    def start(self, job_id: str) -> leases.Lease:
        """Claim a job as a worker does."""
        found = claimed(self.database, job_id)
        assert found is not None
        return (job_id, found.attempt)

    def end(self, job_id: str, outcome: Outcome) -> None:
        """Run a job to this end as a worker does."""
        leases.finish(self.database, self.start(job_id), outcome, Usage(wall_seconds=0.5, cpu_seconds=0.25))

    def succeed(self, job_id: str, result: bytes = b'{"text":"done"}', *artifacts: StoredFile) -> None:
        self.end(job_id, Succeeded(result, artifacts))

    def files(self) -> list[Path]:
        """Return what lies in the artifact storage."""
        return [path for path in (self.data / "artifacts").rglob("*") if path.is_file()]


@contextmanager
def running_api(folder: Path, store_url: str = "", broker_url: str = "", **settings: str) -> Iterator[Api]:
    """Run an API for the length of a `with` block; `max_body_bytes="10"` sets OFFLOAD_MAX_BODY_BYTES."""
    stack = Stack(folder, store_url, broker_url)
    stack.environment |= {f"OFFLOAD_{name.upper()}": value for name, value in settings.items()}
    try:
        process = stack.start_api()
        database = Database(store_url or f"sqlite:///{folder / 'data' / 'offload.db'}", connections=2)
        try:
            yield Api(stack, process, database)
        finally:
            database.dispose()
    finally:
        stack.close()


def problem(answer: httpx2.Response) -> dict[str, Any]:
    """Return the problem details of an answer, having seen that they are whole."""
    assert answer.headers["content-type"] == "application/problem+json"
    body = dict(answer.json())
    assert body["status"] == answer.status_code
    assert body["type"].startswith("/problems/")
    assert body["title"]
    assert body["detail"]
    return body
