"""A client of Offload's HTTP API in a page: nothing here but what any language can do."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2

WAIT_SECONDS = 10
PATIENCE_SECONDS = 60


class Client:
    """Uploads files, submits jobs and follows them."""

    def __init__(self, url: str, check: Callable[[], None] = lambda: None) -> None:
        self._check = check  # called while waiting: may end the program when there is nothing to wait for
        self._http = httpx2.Client(base_url=url, timeout=WAIT_SECONDS + 20)

    def upload(self, path: Path, media_type: str) -> str:
        """Upload a file and return its id."""
        headers = {"Content-Type": media_type, "Content-Disposition": f'attachment; filename="{path.name}"'}
        return str(self._checked(self._http.post("/v1/files", content=path.read_bytes(), headers=headers))["id"])

    def submit(self, task: str, payload: dict[str, Any], **options: object) -> str:
        """Submit a job and return its id."""
        body = {"task": task, "payload": payload, **options}
        return str(self._checked(self._http.post("/v1/jobs", json=body))["id"])

    def submit_flow(self, jobs: dict[str, Any]) -> str:
        """Submit a flow and return its id."""
        return str(self._checked(self._http.post("/v1/flows", json={"jobs": jobs}))["id"])

    def flow(self, flow_id: str) -> dict[str, Any]:
        """Return a flow as it stands."""
        self._check()
        return self._checked(self._http.get(f"/v1/flows/{flow_id}"))

    def follow(self, job_id: str, each: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Call `each` with the job whenever it changes, until that returns True; returns the job as it is then.

        Ends the program when no worker takes the job.
        """
        headers = {"Prefer": f"wait={WAIT_SECONDS}"}
        job: dict[str, Any] = {}
        begun = time.monotonic()
        while True:
            if job.get("state") == "queued" and time.monotonic() > begun + PATIENCE_SECONDS:
                raise SystemExit(f"job {job_id}: no worker has taken it for {PATIENCE_SECONDS} s; {self.health()}")
            self._check()
            answer = self._http.get(f"/v1/jobs/{job_id}", headers=headers)
            if answer.status_code == httpx2.codes.NOT_MODIFIED:
                continue
            job = self._checked(answer)
            if each(job):
                return job
            headers["If-None-Match"] = answer.headers["ETag"]

    def health(self) -> str:
        """Return what the API says of its parts."""
        ready = self._http.get("/health/ready").json()
        return f"store: {ready['store']}, broker: {ready['broker']}"

    def result(self, job_id: str) -> dict[str, Any]:
        """Return a succeeded job's result."""
        return self._checked(self._http.get(f"/v1/jobs/{job_id}/result"))

    def cancel(self, job_id: str) -> int:
        """Ask for a job to be cancelled; returns the answer's status code."""
        answer = self._http.post(f"/v1/jobs/{job_id}/cancel")
        self._checked(answer)
        return answer.status_code

    def download(self, job_id: str, name: str, path: Path) -> Path:
        """Save a job's artifact."""
        with self._http.stream("GET", f"/v1/jobs/{job_id}/artifacts/{name}") as answer, path.open("wb") as target:
            answer.raise_for_status()
            for chunk in answer.iter_bytes():
                target.write(chunk)
        return path

    @staticmethod
    def _checked(answer: httpx2.Response) -> dict[str, Any]:
        if answer.is_error:
            raise SystemExit(
                f"{answer.request.method} {answer.request.url} answered {answer.status_code}: {answer.text}"
            )
        body: dict[str, Any] = answer.json()
        return body


class RequestLoop:
    """Asks the API for something over and over on a thread, and notes how long each answer took."""

    PAUSE_SECONDS = 0.01

    def __init__(self, url: str, path: str) -> None:
        self._url = url + path
        self._ended = threading.Event()
        self._milliseconds: list[float] = []
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "RequestLoop":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        with httpx2.Client() as http:
            while not self._ended.wait(self.PAUSE_SECONDS):
                started = time.perf_counter()
                http.get(self._url).raise_for_status()
                self._milliseconds.append((time.perf_counter() - started) * 1000)

    def summary(self) -> str:
        """Return the number of requests and the 50th and 99th percentile of their times."""
        times = sorted(self._milliseconds)
        p50, p99 = (times[int((len(times) - 1) * share)] for share in (0.5, 0.99))
        return f"p50 {p50:.1f} ms, p99 {p99:.1f} ms over {len(times)} requests"
