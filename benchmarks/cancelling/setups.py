"""The parts that Offload runs on here: embedded ones, and servers that are given or started for the run."""

import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from tests.servers.session import running_servers


@dataclass(frozen=True)
class Setup:
    """A store and a broker; the empty URL stands for what is embedded."""

    name: str
    store_url: str = ""
    broker_url: str = ""


EMBEDDED = Setup("SQLite, no broker")


def given(store_url: str, broker_url: str) -> Setup:
    """Return the setup on the servers that these URLs name; either may be empty."""
    store = "PostgreSQL" if store_url.startswith("postgresql") else "SQLite"
    return Setup(f"{store}, {'RabbitMQ' if broker_url else 'no broker'}", store_url, broker_url)


@contextmanager
def started() -> Iterator[Setup]:
    """Start a PostgreSQL and a RabbitMQ as the tests do, from Docker or from installed binaries, and remove them."""
    with running_servers() as servers, ExitStack() as cleanup:
        own = f"bench_{uuid.uuid4().hex}"
        servers.postgresql.create_database(own)
        cleanup.callback(servers.postgresql.drop_database, own)
        servers.rabbitmq.create_vhost(own)
        cleanup.callback(servers.rabbitmq.drop_vhost, own)
        yield given(servers.postgresql.postgres_url(own), servers.rabbitmq.amqp_url(own))
