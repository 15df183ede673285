import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from tests.servers.errors import ServerFailedError

START_LIMIT_SECONDS = 90.0
POLL_SECONDS = 0.05


class Process(Protocol):
    """What runs a server: a container, or processes of this machine. Its data and ports outlive stop and kill."""

    def start(self) -> None:
        """Start it, without waiting until the server answers; one that runs is left alone."""

    def stop(self) -> None:
        """Ask it to end and wait until it has."""

    def kill(self) -> None:
        """End it with SIGKILL, as a crash would, and wait until it is gone."""

    def remove(self) -> None:
        """End it for good; it need not have been started."""

    def freeze(self) -> None:
        """Stop every process of it where it stands, as SIGSTOP does."""

    def thaw(self) -> None:
        """Let a frozen one go on; another is left alone."""

    def execute(self, program: str, *arguments: str) -> str:
        """Run a program of the server's own beside it and return what it prints; raises ServerFailedError."""

    def is_running(self) -> bool: ...

    def log_tail(self) -> str: ...


class Server(ABC):
    """A server that a test may take down and bring back at the same address, its data kept."""

    name: str

    def __init__(self, process: Process) -> None:
        self._process = process

    @abstractmethod
    def answers(self) -> bool:
        """Say whether a client would be served now."""

    @abstractmethod
    def version(self) -> str: ...

    def start(self) -> None:
        """Start the server unless it runs, and wait until it answers.

        Raises ServerFailedError when it ends instead, or stays silent for START_LIMIT_SECONDS.
        """
        self.launch()
        self.wait_until_it_answers()

    def launch(self) -> None:
        self._process.start()

    def stop(self) -> None:
        """End the server in order; its clients see their connections closed."""
        self._process.stop()

    def kill(self) -> None:
        """End the server with SIGKILL; what it had not written is lost."""
        self._process.kill()

    def remove(self) -> None:
        """End the server for good, with its data."""
        self._process.remove()

    def freeze(self) -> None:
        """Stop the server where it stands: its connections stay, and nothing answers."""
        self._process.freeze()

    def thaw(self) -> None:
        """Let a frozen server go on."""
        self._process.thaw()

    def restart(self) -> None:
        self.stop()
        self.start()

    @contextmanager
    def down(self) -> Iterator[None]:
        """Keep the server stopped for the length of a `with` block, and start it again however the block ends."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    def wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_LIMIT_SECONDS
        while not self.answers():
            if not self._process.is_running():
                raise ServerFailedError(f"{self.name} ended while starting:\n{self._process.log_tail()}")
            if time.monotonic() > deadline:
                raise ServerFailedError(
                    f"{self.name} did not answer within {START_LIMIT_SECONDS:.0f} s:\n{self._process.log_tail()}"
                )
            time.sleep(POLL_SECONDS)
