"""Starts Offload's services as processes of their own, and is a client of them."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import httpx2

START_SECONDS = 60.0
STOP_SECONDS = 40.0
WAIT_SECONDS = 10

FINAL = ("succeeded", "failed", "cancelled")

#: What each says of itself once it is there.
ADDRESS, TAKES_JOBS = re.compile(r"listens on (http://\S+)"), re.compile("takes jobs from")


class ServicesFailed(AssertionError):  # noqa: N818
    """A service did not start, ended, or answered with an error; the message has what it said."""


class Service:
    """A process that logs to a file."""

    def __init__(self, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self.name, self.log = command[0], log
        binary = Path(sys.executable).with_name(self.name)
        with log.open("wb") as target:
            self.process = subprocess.Popen([binary, *command[1:]], stdout=target, stderr=target, env=environment)

    def said(self, pattern: re.Pattern[str]) -> re.Match[str]:
        """Wait until the log has something; raises `ServicesFailed`."""
        ends = time.monotonic() + START_SECONDS
        while not (found := pattern.search(self.log.read_text(errors="replace"))):
            self.check()
            if time.monotonic() > ends:
                self.fail("did not start in time")
            time.sleep(0.02)
        return found

    def check(self) -> None:
        """Raise `ServicesFailed` when the process has ended."""
        if self.process.poll() is not None:
            self.fail(f"ended with exit status {self.process.returncode}")

    def fail(self, problem: str) -> NoReturn:
        """Raise `ServicesFailed` with the end of the log."""
        tail = self.log.read_text(errors="replace")[-2000:]
        raise ServicesFailed(f"{self.name} {problem}; its log ({self.log}) ends:\n{tail}")

    def stop(self) -> None:
        """End the process, and see that it has."""
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Offload:
    """A running API and worker, by HTTP."""

    def __init__(self, url: str, services: Sequence[Service]) -> None:
        self.url = url
        self.http = httpx2.Client(base_url=url, timeout=WAIT_SECONDS + 20)
        self._services = services

    def submit(self, task: str, payload: Mapping[str, Any], **options: Any) -> str:
        """Submit a job and return its id; `options` are those of `POST /v1/jobs`."""
        return str(self._checked("POST", "/v1/jobs", json={"task": task, "payload": payload, **options})["id"])

    def ended(self, job_id: str) -> dict[str, Any]:
        """Wait for a job's end, and return it as `GET /v1/jobs/{id}` shows it."""
        headers = {"Prefer": f"wait={WAIT_SECONDS}"}
        job: dict[str, Any] = {}
        while job.get("state") not in FINAL:
            for service in self._services:
                service.check()
            job = self._checked("GET", f"/v1/jobs/{job_id}", headers=headers)
        return job

    def run(self, task: str, payload: Mapping[str, Any], **options: Any) -> dict[str, Any]:
        """Submit a job, wait for its end, and return it; raises `ServicesFailed` unless it has succeeded."""
        job = self.ended(self.submit(task, payload, **options))
        if job["state"] != "succeeded":
            raise ServicesFailed(f"job {job['id']} has {job['state']}: {job['error']}\n{self.output(job['id'])}")
        return job

    def result(self, job_id: str) -> Any:
        """Return what a job's handler has returned."""
        return self._checked("GET", f"/v1/jobs/{job_id}/result")

    def output(self, job_id: str) -> str:
        """Return what a job has printed and logged."""
        return self.http.get(f"/v1/jobs/{job_id}/output").text

    def upload(self, content: bytes, media_type: str = "application/octet-stream") -> str:
        """Upload a file and return its id."""
        return str(self._checked("POST", "/v1/files", content=content, headers={"Content-Type": media_type})["id"])

    def artifact(self, job_id: str, name: str) -> bytes:
        """Return the content of an artifact."""
        answer = self.http.get(f"/v1/jobs/{job_id}/artifacts/{name}")
        if answer.is_error:
            raise ServicesFailed(f"there is no artifact {name!r}: {answer.text}")
        return answer.content

    def cancel(self, job_id: str) -> None:
        """Ask for a job to be cancelled."""
        self._checked("POST", f"/v1/jobs/{job_id}/cancel")

    def _checked(self, method: str, path: str, **options: Any) -> Any:
        answer = self.http.request(method, path, **options)
        if answer.is_error:
            raise ServicesFailed(f"{method} {path} answered {answer.status_code}: {answer.text}")
        return answer.json()


@contextmanager
def running(folder: Path, queues: Sequence[str], settings: Mapping[str, str]) -> Iterator[Offload]:
    """Run an API, and a worker of these queues, with their data in `folder`; raises `ServicesFailed`."""
    ours = {"OFFLOAD_DATA_DIR": str(folder), **settings}
    environment = {**{name: value for name, value in os.environ.items() if not name.startswith("OFFLOAD_")}, **ours}
    wanted = [word for queue in queues for word in ("--queue", queue)]
    started = list[Service]()
    try:
        started.append(Service(["offload-api", "--port", "0"], folder / "api.log", environment))
        url = started[0].said(ADDRESS)[1]
        started.append(Service(["offload-worker", *wanted], folder / "worker.log", environment))
        started[1].said(TAKES_JOBS)
        offload = Offload(url, started)
        with offload.http:
            yield offload
    finally:
        for service in reversed(started):
            service.stop()
