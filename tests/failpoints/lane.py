"""Services with failpoints: two APIs, two workers, an orchestrator that restarts what has died, and a client."""

import os
import signal
import threading
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from offload_shared.failpoints import Action, Point
from tests.acceptance.stack import Process, Stack, gone, until

FINAL = ("succeeded", "failed", "cancelled")
#: After which a client asks the other API.
CLIENT_SECONDS = 3.0
#: A hint that is lost without a trace is repeated after a minute.
PATIENCE_SECONDS = 150.0


@dataclass
class Member:
    """A process of the services, and how another takes its place."""

    start: Callable[[], tuple[Process, httpx2.Client | None]]
    process: Process
    http: httpx2.Client | None


@dataclass
class Submitted:
    """A job: its body, its key, and its id once that was answered."""

    body: dict[str, Any]
    key: str = field(default_factory=lambda: uuid.uuid4().hex)
    id: str = ""


class Lane:
    """One set of services on one combination, used by one case after another."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self._points = stack.folder / "failpoints"
        self._points.mkdir()
        self._restarting = threading.Lock()  # a case's own client restarts too
        self._tmp = Path(stack.environment["TMPDIR"])
        stack.environment.pop("PYTHONDONTWRITEBYTECODE", None)  # a restart is to take seconds
        stack.environment |= {
            "PYTHONPYCACHEPREFIX": str(stack.folder.parent / "bytecode"),
            "OFFLOAD_FAILPOINTS": str(self._points),
            "OFFLOAD_LEASE_SECONDS": "5",
            "OFFLOAD_STORE_ANSWER_SECONDS": "1",
            "OFFLOAD_PAUSE_SECONDS": "0.1",
        }
        self.members = [Member(start, *start()) for start in (self._api, self._api, self._worker, self._worker)]
        self._apis = deque(self.apis())  # the client turns to the first
        self._ended: dict[str, Any] = {}

    def _api(self) -> tuple[Process, httpx2.Client]:
        http = self.stack.start_another_api()
        return self.stack.processes[-1], http

    def _worker(self) -> tuple[Process, None]:
        return self.stack.start_worker("--queue", "probe", "--slots", "1"), None

    # The orchestrator

    def restart_dead(self) -> None:
        """Start again what has died."""
        with self._restarting:
            for member in self.members:
                if gone(member.process.pid):
                    member.process.wait()
                    if member.http:
                        member.http.close()
                    member.process, member.http = member.start()

    def restart(self, pid: int) -> None:
        """Do what an operator or a liveness probe does with a process that hangs."""
        os.kill(pid, signal.SIGKILL)
        until(lambda: gone(pid), f"the end of process {pid}")
        self.restart_dead()

    def restart_in_order(self, pid: int) -> None:
        """Have a process come to its end, and what hung in it, and start it again."""
        [member] = [each for each in self.members if each.process.pid == pid]
        member.process.end()
        self.restart_dead()

    def apis(self) -> list[Member]:
        return [member for member in self.members if member.http]

    # The failpoints

    def arm(self, point: Point, action: Action) -> None:
        hidden = self._points / "new.fired"
        hidden.write_text(action.value)
        hidden.rename(self._points / point.value)

    def fired(self, point: Point) -> int:
        """Wait until a point has fired; returns the process in which it did."""
        marker = self._points / f"{point.value}.fired"
        words: list[str] = until(
            lambda: marker.exists() and len(found := marker.read_text().split()) == 2 and found,
            f"the failpoint {point.value}",
        )
        return int(words[1])

    def release(self, point: Point) -> None:
        """Let go on what hangs at a point, and make the point fit for another case."""
        (self._points / f"{point.value}.fired").unlink(missing_ok=True)

    # The client

    def ask(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """Send a request as a careful client does: to the other API after no answer, or one that says nothing."""

        def answered() -> httpx2.Response | None:
            api = self._apis[0]
            assert api.http is not None
            try:
                answer = api.http.request(method, path, timeout=CLIENT_SECONDS, **options)
            except (httpx2.TransportError, RuntimeError):  # the latter when the orchestrator has replaced it
                self._apis.rotate()
                return None
            if answer.status_code >= 500:
                self._apis.rotate()
            assert "Traceback" not in answer.text
            if answer.status_code >= 400:
                assert "application/problem+json" == answer.headers["Content-Type"]
            return answer if answer.status_code < 500 else None

        answer: httpx2.Response = until(answered, f"an answer to {method} {path}", PATIENCE_SECONDS)
        return answer

    def submit(self, job: Submitted) -> httpx2.Response:
        answer = self.ask("POST", "/v1/jobs", json=job.body, headers={"Idempotency-Key": job.key})
        assert 202 == answer.status_code, answer.text
        job.id = answer.json()["id"]
        return answer

    def job(self, job_id: str, **headers: str) -> dict[str, Any]:
        answer = self.ask("GET", f"/v1/jobs/{job_id}", headers=headers)
        assert 200 == answer.status_code, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def ended(self, job_id: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            found = self.job(job_id, Prefer="wait=1")
            return found if found["state"] in FINAL else None

        found: dict[str, Any] = until(look, f"the end of {self.job(job_id)}", PATIENCE_SECONDS)
        self._ended[job_id] = self._story(found)
        return found

    @staticmethod
    def _story(job: dict[str, Any]) -> Any:
        return job["state"], job.get("finished_at"), job["attempts"]

    # What must hold

    def assert_nothing_is_left(self) -> None:
        """See that each worker has its own folder alone, empty, and its own processes: a child and the guardian."""
        self.restart_dead()
        workers = [member.process for member in self.members if not member.http]

        def clean() -> bool:
            folders = [list(folder.iterdir()) for folder in self._tmp.iterdir()]
            return folders == [[]] * len(workers) and all(len(worker.children()) == 2 for worker in workers)

        def shown() -> str:
            return f"{[*self._tmp.rglob('*')]}, {[worker.children() for worker in workers]}"

        until(clean, f"nothing left of the attempts: {shown()}")

    def assert_no_end_has_changed(self) -> None:
        assert self._ended == {job_id: self._story(self.job(job_id)) for job_id in self._ended}

    def close(self) -> None:
        for member in self.apis():
            assert member.http is not None
            member.http.close()
