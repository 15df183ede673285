"""How a client has a job done: one call that returns when the job has ended, for each place where jobs can run."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx2

from benchmarks.latency.tasks import COMPUTE
from benchmarks.latency.work import Kind

#: Has one job done: so many iterations of this kind of work.
Run = Callable[[Kind, int], None]

TIMEOUT_SECONDS = 120
_WAIT_SECONDS = 30


class ComparisonClient:
    """Has jobs done by the comparison app; it computes `python` work only."""

    def __init__(self, url: str) -> None:
        self._http = httpx2.Client(base_url=url, timeout=TIMEOUT_SECONDS)

    def in_request(self, _: Kind, amount: int) -> None:
        """Have a job done on the app's event loop."""
        self._http.get("/in-request", params={"amount": amount}).raise_for_status()

    def on_thread(self, _: Kind, amount: int) -> None:
        """Have a job done on a thread of the app."""
        self._http.get("/on-thread", params={"amount": amount}).raise_for_status()


class OffloadClient:
    """Has jobs done by Offload's worker."""

    def __init__(self, url: str) -> None:
        self._http = httpx2.Client(base_url=url, timeout=TIMEOUT_SECONDS)

    def submit(self, kind: Kind, amount: int) -> str:
        """Submit a job and return its id."""
        body = {"task": COMPUTE.name, "payload": {"kind": kind, "amount": amount}}
        return str(self._http.post("/v1/jobs", json=body).raise_for_status().json()["id"])

    def wait(self, job_id: str) -> None:
        """Wait until a job has succeeded; raises when it has not."""
        self._http.get(f"/v1/jobs/{job_id}/result", headers={"Prefer": f"wait={_WAIT_SECONDS}"}).raise_for_status()

    def run(self, kind: Kind, amount: int) -> None:
        """Submit a job and wait until it has succeeded."""
        self.wait(self.submit(kind, amount))


@contextmanager
def client_threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """Yield threads to wait on; when interrupted, does not wait for them: they end with the server they wait for."""
    threads = ThreadPoolExecutor(max(1, count))
    try:
        yield threads
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
