"""Our own processes: started, killed, frozen, and started again when they end, as an orchestrator would."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from itertools import product
from pathlib import Path

import httpx2
import psutil
from tests.servers.ports import free_ports

START_SECONDS = 120.0
#: What a drain may take beyond the grace period.
STOP_SECONDS = 30.0
TEND_SECONDS = 0.5
#: Jobs at once of each worker of a queue.
SLOTS = {"probe": 3, "io": 24}


class Service:
    """An API or a worker, over all the processes that it is one after another."""

    def __init__(self, name: str, command: list[str], *, port: int, folder: Path, environment: dict[str, str]) -> None:
        self.name = name
        self.port = port  # of its HTTP: a worker's is that of its health
        self.log = folder / f"{name}.log"
        self.wanted = False  # whether it is to be started again should it end
        self._command = [str(Path(sys.executable).with_name(command[0])), *command[1:]]
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it is spoken to."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The id of the present process; 0 before the first."""
        return self._process.pid if self._process else 0

    def status(self) -> int | None:
        """Return the exit status, or None while it runs."""
        return self._process.poll() if self._process else 0

    def start(self) -> None:
        """Start the process, without waiting until it is ready."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environment
            )
        self.wanted = True

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if the process is there."""
        if self._process is not None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """End the process with SIGKILL, and leave it ended."""
        self.wanted = False
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def family(self) -> list[psutil.Process]:
        """Return the process and all it has started, the process first."""
        with suppress(psutil.NoSuchProcess):
            leader = psutil.Process(self.pid)
            return [leader, *leader.children(recursive=True)]
        return []

    def children(self) -> list[psutil.Process]:
        """Return the processes in which a worker runs jobs."""
        return [each for each in self.family()[1:] if _runs(each, "offload_worker.runners.child")]

    def guardian(self) -> psutil.Process | None:
        """Return the process that cleans up after a worker."""
        return next((each for each in self.family()[1:] if _runs(each, "offload_worker.runners.guardian")), None)

    def stop(self) -> int | None:
        """End in order, and return the exit status; None when it had to be killed."""
        self.wanted = False
        if self._process is None:
            return 0
        self.send(signal.SIGCONT)
        self.send(signal.SIGTERM)
        try:
            return self._process.wait(STOP_SECONDS + float(self._environment["OFFLOAD_GRACE_SECONDS"]))
        except subprocess.TimeoutExpired:
            self.kill()
            return None

    def health(self, kind: str) -> tuple[int, str]:
        """Return the status and body of its own check, `live` or `ready`; a status of 0 when there is no answer."""
        try:
            answer = httpx2.get(f"{self.url}/health/{kind}", timeout=10, trust_env=False)
        except httpx2.TransportError as error:
            return 0, str(error)
        return answer.status_code, answer.text

    def last_words(self) -> str:
        """Return the end of the log."""
        return self.log.read_text(errors="replace")[-500:] if self.log.exists() else ""


class Fleet:
    """All our processes."""

    def __init__(self, folder: Path, environment: dict[str, str], *, apis: int, workers: int) -> None:
        logs = folder / "logs"
        logs.mkdir()
        ports = free_ports(apis + workers * len(SLOTS))
        self.apis = [
            Service(f"api-{n}", ["offload-api", "--port", str(port)], port=port, folder=logs, environment=environment)
            for n, port in enumerate(ports[:apis])
        ]
        self.workers = [
            Service(
                f"worker-{queue}-{n}",
                ["offload-worker", "--queue", queue, "--slots", str(slots)],
                port=port,
                folder=logs,
                environment={**environment, "OFFLOAD_HEALTH_PORT": str(port)},
            )
            for (n, (queue, slots)), port in zip(product(range(workers), SLOTS.items()), ports[apis:], strict=True)
        ]

    @property
    def all(self) -> list[Service]:
        """Every service, the APIs first."""
        return [*self.apis, *self.workers]

    async def start(self) -> None:
        """Start all, and wait until they are ready."""
        for service in self.all:
            service.start()
        async with asyncio.timeout(START_SECONDS):
            for service in self.all:
                while (await asyncio.to_thread(service.health, "ready"))[0] != httpx2.codes.OK:
                    if service.status() is not None:
                        raise RuntimeError(f"{service.name} ended while starting:\n{service.last_words()}")
                    await asyncio.sleep(0.1)

    async def tend(self, ended: Callable[[Service, int], object]) -> None:
        """Start again, for ever, what ends by itself; `ended` is told of each."""
        while True:
            for service in self.all:
                status = service.status()
                if service.wanted and status is not None:
                    ended(service, status)
                    service.start()
            await asyncio.sleep(TEND_SECONDS)

    async def stop(self) -> dict[str, int | None]:
        """End all in order, and return each one's exit status."""
        statuses = await asyncio.gather(*(asyncio.to_thread(service.stop) for service in self.all))
        return dict(zip([service.name for service in self.all], statuses, strict=True))


def environment(folder: Path, settings: dict[str, str]) -> dict[str, str]:
    """Return the environment of our processes: this one's without its own settings of Offload."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OFFLOAD_")}
    return {**kept, "OFFLOAD_DATA_DIR": str(folder / "data"), **settings}


def _runs(process: psutil.Process, module: str) -> bool:
    with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
        return module in process.cmdline()
    return False
