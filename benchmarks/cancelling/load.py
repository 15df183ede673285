"""The steady load: submits short jobs at a fixed pace and polls each until it has ended. A process of its own.

    python -m benchmarks.cancelling.load http://127.0.0.1:8000 10

It prints `ready`, submits until its standard input ends, cancels what is left, then prints what it amounted to as JSON.
"""

import argparse
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx2
import msgspec

from benchmarks import generator

POLL_SECONDS = 0.05
#: Jobs that are followed at once. When as many have not ended, none is added: a machine that cannot keep the pace
#: shall show a lower one, not a queue that grows.
MOST_AT_ONCE = 16
TIMEOUT_SECONDS = 60
UNAVAILABLE = 503


class Done(msgspec.Struct, frozen=True):
    """What the load amounted to."""

    seconds: float
    requests: int  # submits, polls, and what was answered 503
    refused: int  # answered 503
    took: list[float]  # seconds from each job's submission until its success was seen


class Client:
    """Follows jobs, each on a thread of its own, until told to end; and counts."""

    def __init__(self, url: str) -> None:
        self._http = httpx2.Client(base_url=url, timeout=TIMEOUT_SECONDS)
        self._lock = threading.Lock()
        self.ended = threading.Event()
        self.requests = 0
        self.refused = 0
        self.took: list[float] = []

    def live(self) -> None:
        """Submit a job and poll it until it has succeeded, or cancel it at the end; raises when it fails."""
        began = time.monotonic()
        job = self._ask("POST", "/v1/jobs", {"task": "probe", "payload": {"action": "return"}})
        path = f"/v1/jobs/{job['id']}"
        while job["state"] in ("queued", "running"):
            if self.ended.wait(POLL_SECONDS):
                self._http.post(f"{path}/cancel")
                return
            job = self._ask("GET", path)
        if job["state"] != "succeeded":
            raise RuntimeError(f"a job of the load has not succeeded: {job}")
        with self._lock:
            self.took.append(time.monotonic() - began)

    def _ask(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        while True:
            answer = self._http.request(method, path, json=body)
            with self._lock:
                self.requests += 1
                self.refused += answer.status_code == UNAVAILABLE
            if answer.status_code != UNAVAILABLE:
                found: dict[str, Any] = answer.raise_for_status().json()
                return found
            time.sleep(POLL_SECONDS)


@contextmanager
def steady(url: str, rate: float) -> Iterator[Callable[[], Done]]:
    """Keep up the load in another process; yields the function that ends it and returns what it amounted to."""
    command = [sys.executable, "-m", "benchmarks.cancelling.load", url, str(rate)]
    with generator.running(command, end_seconds=2 * TIMEOUT_SECONDS) as stop:
        yield lambda: msgspec.json.decode(stop(), type=Done)


def main() -> None:
    """Submit until standard input ends, and print what that amounted to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cancelling.load", description="Submits and polls jobs.")
    parser.add_argument("url", help="where the API is")
    parser.add_argument("rate", type=float, help="jobs a second")
    wanted = parser.parse_args()
    client = Client(wanted.url)

    def wait_for_end() -> None:
        sys.stdin.read()
        client.ended.set()

    threading.Thread(target=wait_for_end, daemon=True).start()
    lives: list[Future[None]] = []
    with ThreadPoolExecutor(MOST_AT_ONCE) as threads:
        due = began = time.monotonic()
        print("ready", flush=True)
        while not client.ended.wait(max(0.0, due - time.monotonic())):
            due += 1 / wanted.rate
            if sum(not each.done() for each in lives) < MOST_AT_ONCE:
                lives.append(threads.submit(client.live))
        seconds = time.monotonic() - began
    for each in lives:
        each.result()
    sys.stdout.buffer.write(msgspec.json.encode(Done(seconds, client.requests, client.refused, client.took)))


if __name__ == "__main__":
    main()
