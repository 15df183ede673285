"""Starts the API and a worker as processes of their own, and ends them."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import httpx2
import psutil

from offload_testing import services as starting
from offload_testing.services import ADDRESS, TAKES_JOBS, ServicesFailed


class Service(starting.Service):
    """A process of ours; what goes wrong with it ends the program."""

    @property
    def pid(self) -> int:
        """The process's id."""
        return self.process.pid

    def family(self) -> list[psutil.Process]:
        """Return the service's process and all it has started."""
        leader = psutil.Process(self.pid)
        return [leader, *leader.children(recursive=True)]

    def fail(self, problem: str) -> NoReturn:
        """End the program, showing the end of the service's log."""
        try:
            super().fail(problem)
        except ServicesFailed as error:
            sys.exit(str(error))


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
        api = Service(["offload-api", "--port", str(port)], folder / "offload-api.log", environment)
        started.append(api)
        url = api.said(ADDRESS)[1]
        httpx2.get(f"{url}/health/live").raise_for_status()
        worker = Service(["offload-worker"], folder / "offload-worker.log", environment)
        started.append(worker)
        worker.said(TAKES_JOBS)
        yield Services(api, worker, url)
    finally:
        for service in reversed(started):
            service.stop()
