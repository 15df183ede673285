"""Offload as its users run it: an API and workers, each a process, spoken to over HTTP alone."""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import psutil

from offload_worker.runners.family import MARK
from tests.servers.ports import free_ports

#: What takes longer than this is taken for stuck; nothing is measured by it.
PATIENCE_SECONDS = 90.0

FAST = {
    "OFFLOAD_LEASE_SECONDS": "3",
    "OFFLOAD_SWEEP_SECONDS": "0.2",
    "OFFLOAD_GRACE_SECONDS": "2",
}


def until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE_SECONDS) -> Any:
    """Return the first true answer of `condition`, asked again and again."""
    ends = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < ends, f"still waiting after {seconds:g} s: {what}"
        time.sleep(0.02)
    return answer


def gone(pid: int) -> bool:
    """Whether a process has ended; one that only waits to be reaped by whoever adopted it has."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


class Process:
    """One of our commands."""

    def __init__(self, command: str, *arguments: str, folder: Path, environment: dict[str, str]) -> None:
        self.log = folder / f"{command}-{time.monotonic_ns()}.log"
        binary = Path(sys.executable).with_name(command)
        with self.log.open("wb") as log:
            self._process = subprocess.Popen([binary, *arguments], stdout=log, stderr=log, env=environment)
        self.pid = self._process.pid
        self.port = 0  # of a worker's health

    def health(self, kind: str) -> tuple[int, dict[str, Any]]:
        """Return the status and body of the worker's own check, `live` or `ready`."""
        answer = httpx2.get(f"http://127.0.0.1:{self.port}/health/{kind}", timeout=60)
        return answer.status_code, answer.json()

    def says(self, words: str) -> None:
        until(lambda: words in self._living_log(), f"{words!r} in {self.log}")

    def _living_log(self) -> str:
        said = self.log.read_text(errors="replace")
        assert self._process.poll() is None, f"ended early:\n{said[-3000:]}"
        return said

    def children(self) -> list[int]:
        return [child.pid for child in psutil.Process(self.pid).children(recursive=True)]

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def wait(self) -> int:
        return self._process.wait(PATIENCE_SECONDS)

    def end(self) -> None:
        """End with all children, whatever state they are in."""
        if self._process.poll() is None:
            self.send(signal.SIGCONT)
            self.send(signal.SIGTERM)
            self.send(signal.SIGTERM)
        self.wait()


class Stack:
    """The services of one test, and a client of them."""

    def __init__(self, folder: Path, store_url: str, broker_url: str) -> None:
        self.folder = folder
        self.broker_url = broker_url
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("OFFLOAD_")},
            **FAST,
            "OFFLOAD_DATA_DIR": str(folder / "data"),
            "OFFLOAD_STORE_URL": store_url,
            "OFFLOAD_BROKER_URL": broker_url,
            "TMPDIR": str(folder / "tmp"),
        }
        (folder / "tmp").mkdir()
        self.processes: list[Process] = []
        self._marks: set[str] = set()
        self.port = 0
        self.http = httpx2.Client(timeout=60)

    def start_api(self) -> Process:
        """Start an API; the first finds its port, a further one follows it on the same."""
        api = self._start("offload-api", "--port", str(self.port))
        api.says("listens on http://")
        url = api.log.read_text().split("listens on ")[1].split()[0]
        self.port = int(url.rsplit(":", 1)[1])
        self.http.base_url = httpx2.URL(url)
        return api

    def start_another_api(self, **settings: str) -> httpx2.Client:
        """Start a second API beside the first, and return a client of it; the test closes it."""
        api = self._start("offload-api", "--port", "0", **settings)
        api.says("listens on http://")
        return httpx2.Client(base_url=api.log.read_text().split("listens on ")[1].split()[0], timeout=60)

    def start_worker(self, *arguments: str) -> Process:
        """Start a worker, of the probes' queues unless told otherwise: its children import nothing large."""
        arguments = arguments if "--queue" in arguments else ("--queue", "probe", "--queue", "io", *arguments)
        [port] = free_ports(1)
        worker = self._start("offload-worker", *arguments, OFFLOAD_HEALTH_PORT=str(port))
        worker.port = port
        worker.says("takes jobs from")
        self._marks |= {each.name.removeprefix("offload-") for each in self.temporary()}
        return worker

    def _start(self, command: str, *arguments: str, **settings: str) -> Process:
        started = Process(command, *arguments, folder=self.folder, environment=self.environment | settings)
        self.processes.append(started)
        return started

    def ask(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """Send a request as a careful client does: again after 503, which a store on a busy machine may cause."""

        def answered() -> httpx2.Response | None:
            answer = self.http.request(method, path, **options)
            return answer if answer.status_code != 503 else None

        answer: httpx2.Response = until(answered, f"an answer to {method} {path}")
        return answer

    def submit(self, task: str, payload: dict[str, Any] | None = None, **options: Any) -> str:
        body = {"task": task, "payload": payload or {}, **options}
        answer = self.ask("POST", "/v1/jobs", json=body, headers={"Idempotency-Key": uuid.uuid4().hex})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def probe(self, action: str, **payload: Any) -> str:
        return self.submit("probe", {"action": action, **payload})

    def job(self, job_id: str, **headers: str) -> dict[str, Any]:
        answer = self.ask("GET", f"/v1/jobs/{job_id}", headers=headers)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def ended(self, job_id: str) -> dict[str, Any]:
        """Return the job once it has ended."""

        def look() -> dict[str, Any] | None:
            found = self.job(job_id)
            return found if found["state"] in ("succeeded", "failed", "cancelled") else None

        found: dict[str, Any] = until(look, f"the end of job {job_id}: {self.job(job_id)}")
        return found

    def result(self, job_id: str) -> Any:
        ended = self.ended(job_id)
        assert ended["state"] == "succeeded", ended
        return self.ask("GET", f"/v1/jobs/{job_id}/result").json()

    def outcomes(self, job_id: str) -> list[str]:
        """Return how the job's attempts have ended."""
        attempts = self.job(job_id)["attempts"]
        return [each.get("failure") or each["outcome"] for each in attempts]

    def output(self, job_id: str, **query: Any) -> str:
        """Return what the job's attempt has printed and logged."""
        answer = self.ask("GET", f"/v1/jobs/{job_id}/output", params=query)
        assert answer.status_code == 200, answer.text
        return str(answer.text)

    def cancel(self, job_id: str) -> None:
        answer = self.ask("POST", f"/v1/jobs/{job_id}/cancel")
        assert answer.status_code in (200, 202), answer.text

    def reports(self, job_id: str) -> list[int]:
        """Return the process ids that a running probe job has reported as its progress."""
        progress = until(lambda: self.job(job_id)["progress"], f"the progress of job {job_id}")
        return [int(pid) for pid in progress["message"].split()]

    def upload(self, content: bytes, media_type: str = "text/csv") -> str:
        answer = self.ask("POST", "/v1/files", content=content, headers={"Content-Type": media_type})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def temporary(self) -> list[Path]:
        """Return the temporary folders that there are, one of each worker."""
        return list(Path(self.environment["TMPDIR"]).iterdir())

    def living(self) -> set[int]:
        """Return all that runs on this machine and was started for this stack, whose child it is by now or not.

        It bears a worker's mark, or was told of the stack's folder.
        """
        return {each.pid for each in psutil.process_iter() if self._is_ours(each)}

    def _is_ours(self, process: psutil.Process) -> bool:
        command, environment = list[str](), dict[str, str]()
        with suppress(psutil.Error):  # it has ended, or is another user's
            command = process.cmdline()
            environment = process.environ()
        if environment.get(MARK, "").startswith(tuple(self._marks)):
            return True
        # The slashes: another stack's folder may be named as this one's and a digit more.
        return any(f"{self.folder}/" in f"{word}/" for word in [*command, *environment.values()])

    def close(self) -> None:
        """End everything, and see that nothing is left."""
        family = [pid for process in self.processes if not gone(process.pid) for pid in process.children()]
        for process in reversed(self.processes):
            process.end()
        until(lambda: all(gone(pid) for pid in family), "the end of all children")
        until(lambda: not self.living(), "the end of all that was started")
        until(lambda: not self.temporary(), "the end of all temporary files")
        self.http.close()
