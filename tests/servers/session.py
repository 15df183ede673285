import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.servers.containers import Docker
from tests.servers.errors import ServersUnavailableError
from tests.servers.local import Local
from tests.servers.postgresql import PostgreSQL
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.run import new_run

CHOICE = "OFFLOAD_TEST_SERVERS"


class Way(Protocol):
    """A way of getting the two servers."""

    name: str

    def prepare(self) -> None:
        """Fetch what is missing; raises ServersUnavailableError where this way is closed."""

    def rabbitmq(self, run: Path) -> RabbitMQ: ...

    def postgresql(self, run: Path) -> PostgreSQL: ...


WAYS: dict[str, type[Way]] = {"docker": Docker, "local": Local}


@dataclass(frozen=True)
class Servers:
    """The RabbitMQ and the PostgreSQL of a test session."""

    way: str
    rabbitmq: RabbitMQ
    postgresql: PostgreSQL

    def start(self) -> None:
        """Start both at the same time and wait until they answer; those that run are left alone."""
        self.rabbitmq.launch()
        self.postgresql.launch()
        self.postgresql.wait_until_it_answers()
        self.rabbitmq.wait_until_it_answers()

    def remove(self) -> None:
        self.rabbitmq.remove()
        self.postgresql.remove()

    def __str__(self) -> str:
        return f"RabbitMQ {self.rabbitmq.version()} and PostgreSQL {self.postgresql.version()}, {self.way}"


def open_way(choice: str, ways: Mapping[str, type[Way]] = WAYS) -> Way:
    """Give the first way that is open, or, when `choice` names one, that way alone.

    Raises ServersUnavailableError when none is, with what each lacks and what to do.
    """
    if choice and choice not in ways:
        raise ServersUnavailableError(f"{CHOICE} is {choice!r}; it may be {' or '.join(ways)}, or unset for the first")
    closed = []
    for way in [made() for name, made in ways.items() if choice in ("", name)]:
        try:
            way.prepare()
        except ServersUnavailableError as error:
            closed.append(f"  {way.name}: {error}")
        else:
            print("\n".join([f"Test servers: {way.name}", *closed]), flush=True)
            return way
    raise ServersUnavailableError(_HELP.format(closed="\n".join(closed), choice=CHOICE))


@contextmanager
def running_servers() -> Iterator[Servers]:
    """Start both servers for the length of a `with` block, and leave nothing of them behind."""
    way = open_way(os.environ.get(CHOICE, ""))
    with new_run() as run:
        servers = Servers(way.name, way.rabbitmq(run), way.postgresql(run))
        try:
            servers.start()
            yield servers
        finally:
            servers.remove()


_HELP = """\
These tests need a RabbitMQ and a PostgreSQL, and found no way to get them.
{closed}
Do one of these:
  start a Docker engine,
  or install both servers: apt-get install rabbitmq-server postgresql,
  or run as root or with passwordless sudo, so that the tests install them,
  or run `make test-unit`, the tests that need neither. ({choice}=docker or local asks for one way alone.)"""
