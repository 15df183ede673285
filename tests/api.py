"""An API process of a test, spoken to over HTTP; the test plays the worker through the store's verbs."""

import os
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from offload_shared.job import Outcome, StoredFile, Succeeded, Usage
from offload_shared.keys import Scope
from offload_shared.store import api_keys, leases
from offload_shared.store.database import Database
from tests.acceptance.stack import Process, Stack
from tests.jobs import claimed
from tests.servers.session import Servers

#: What a service runs on: embedded parts, or both servers.
STORES = ("sqlite", "postgresql+rabbitmq")
FINAL = ("succeeded", "failed", "cancelled")

Headers = dict[str, str]


class Api:
    """A running API, a client of it, and the store behind it."""

    def __init__(self, stack: Stack, process: Process, database: Database) -> None:
        self._stack = stack
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

    def finish(self, lease: leases.Lease, outcome: Outcome) -> None:
        """End an attempt as a worker does."""
        leases.finish(self.database, lease, outcome, Usage(wall_seconds=0.5, cpu_seconds=0.25))

    def end(self, job_id: str, outcome: Outcome) -> None:
        """Run a job to this end as a worker does."""
        self.finish(self.start(job_id), outcome)

    def another(self) -> httpx2.Client:
        """Start another API process on the same store, and return a client of it; the test closes it."""
        return self._stack.start_another_api()

    def restart(self) -> None:
        """Start the API again, at its old address, after its process has ended."""
        self.process = self._stack.start_api()

    def start_worker(self) -> Process:
        """Start a worker of the queues that need nothing large."""
        return self._stack.start_worker()

    def succeed(self, job_id: str, result: bytes = b'{"text":"done"}', *artifacts: StoredFile) -> None:
        self.end(job_id, Succeeded(result, artifacts))

    def key(self, *scopes: Scope, tenant: str = "", **options: Any) -> Headers:
        """Make a key and return the headers that it is sent in; without scopes it has them all."""
        _, written = api_keys.create(self.database, tenant=tenant, name="", scopes=scopes or tuple(Scope), **options)
        return {"Authorization": f"Bearer {written}"}

    def files(self) -> list[Path]:
        """Return what lies in the artifact storage."""
        # Not by a glob, which fails over a folder that is removed meanwhile.
        return [Path(folder) / name for folder, _, names in os.walk(self.data / "artifacts") for name in names]


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


@contextmanager
def api_on(store: str, request: pytest.FixtureRequest, folder: Path, **settings: str) -> Iterator[Api]:
    """Run an API on one of `STORES`, for the length of a `with` block."""
    if store == "sqlite":
        with running_api(folder, **settings) as running:
            yield running
        return
    servers: Servers = request.getfixturevalue("servers")
    name = f"test_{uuid.uuid4().hex}"
    with ExitStack() as cleanup:
        servers.postgresql.create_database(name)
        cleanup.callback(servers.postgresql.drop_database, name)
        servers.rabbitmq.create_vhost(name)
        cleanup.callback(servers.rabbitmq.drop_vhost, name)
        urls = servers.postgresql.postgres_url(name), servers.rabbitmq.amqp_url(name)
        yield cleanup.enter_context(running_api(folder, *urls, **settings))


class Waiting:
    """A request under way on a thread of its own."""

    def __init__(self, api: Api, path: str, headers: dict[str, str]) -> None:
        self._api, self._path, self._headers = api, path, headers
        self._answer: httpx2.Response | None = None
        self._thread = threading.Thread(target=self._run)
        self.seconds_after_change = 0.0

    def _run(self) -> None:
        self._answer = self._api.http.get(self._path, headers=self._headers)

    def __enter__(self) -> "Waiting":
        self._thread.start()
        self._thread.join(0.3)  # the request is to be there before the change; later, it would be answered all the same
        assert self._thread.is_alive()
        return self

    def answer(self) -> httpx2.Response:
        changed = time.monotonic()
        self._thread.join(20)
        self.seconds_after_change = time.monotonic() - changed
        assert self._answer is not None
        return self._answer

    def __exit__(self, *_: object) -> None:
        self._thread.join()


def problem(answer: httpx2.Response) -> dict[str, Any]:
    """Return the problem details of an answer, having seen that they are whole."""
    assert answer.headers["content-type"] == "application/problem+json"
    body = dict(answer.json())
    assert body["status"] == answer.status_code
    assert body["type"].startswith("/problems/")
    assert body["title"]
    assert body["detail"]
    return body
