"""Starts the API and a worker as processes of their own, and ends them."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx2
import psutil

START_SECONDS = 60
#: Longer than the worker's own grace period.
STOP_SECONDS = 40

_ADDRESS = re.compile(rb"listens on (http://\S+)")


class Service:
    """A process of ours that logs to a file."""

    def __init__(self, command: str, *arguments: str, folder: Path, environment: dict[str, str]) -> None:
        self.name = command
        self.log = folder / f"{command}.log"
        binary = Path(sys.executable).with_name(command)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([binary, *arguments], stdout=log, stderr=log, env=environment)

    @property
    def pid(self) -> int:
        """The process's id."""
        return self.process.pid

    def family(self) -> list[psutil.Process]:
        """Return the service's process and all it has started."""
        leader = psutil.Process(self.pid)
        return [leader, *leader.children(recursive=True)]

    def fail(self, problem: str) -> None:
        """End the program, showing the end of the service's log."""
        tail = self.log.read_text(errors="replace")[-2000:]
        sys.exit(f"{self.name} {problem}; its log ({self.log}) ends:\n{tail}")

    def check(self) -> None:
        """End the program when the service has ended."""
        if self.process.poll() is not None:
            self.fail(f"ended with exit status {self.process.returncode}")

    def stop(self) -> None:
        """Ask the service to end, and make sure that it does."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Services:
    """A running API and worker."""

    def __init__(self, api: Service, worker: Service, url: str) -> None:
        self.api = api
        self.worker = worker
        self.url = url

    def check(self) -> None:
        """End the program when one of them has ended."""
        self.api.check()
        self.worker.check()


@contextmanager
def services(folder: Path, *, port: int = 0, settings: Mapping[str, str] | None = None) -> Iterator[Services]:
    """Run an API and a worker with their data in `folder`; settings in the environment are passed on, and these."""
    folder.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "OFFLOAD_DATA_DIR": str(folder), **(settings or {})}
    started: list[Service] = []
    try:
        api = Service("offload-api", "--port", str(port), folder=folder, environment=environment)
        started.append(api)
        url = _address(api)
        worker = Service("offload-worker", folder=folder, environment=environment)
        started.append(worker)
        _wait_for_worker(worker)
        yield Services(api, worker, url)
    finally:
        for service in reversed(started):
            service.stop()


def _address(api: Service) -> str:
    ends = time.monotonic() + START_SECONDS
    while time.monotonic() < ends:
        api.check()
        if found := _ADDRESS.search(api.log.read_bytes()):
            url = found.group(1).decode()
            httpx2.get(f"{url}/health/live").raise_for_status()
            return url
        time.sleep(0.05)
    api.fail("did not start in time")
    raise AssertionError


def _wait_for_worker(worker: Service) -> None:
    ends = time.monotonic() + START_SECONDS
    while b"takes jobs from" not in worker.log.read_bytes():
        worker.check()
        if time.monotonic() > ends:
            worker.fail("did not start in time")
        time.sleep(0.05)
