import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.acceptance.stack import Stack
from tests.servers.session import Servers

COMBINATIONS = ["sqlite", "sqlite+rabbitmq", "postgresql", "postgresql+rabbitmq"]

EMBEDDED_AND_WHOLE = ["sqlite", "postgresql+rabbitmq"]


@contextmanager
def combination(name: str, request: pytest.FixtureRequest, folder: Path) -> Iterator[Stack]:
    """Give the surroundings of services on one combination of store and broker, and end what was started there."""
    store_url = broker_url = ""
    with ExitStack() as cleanup:
        own = f"test_{uuid.uuid4().hex}"
        if name != "sqlite":
            servers: Servers = request.getfixturevalue("servers")
        if "postgresql" in name:
            servers.postgresql.create_database(own)
            cleanup.callback(servers.postgresql.drop_database, own)
            cleanup.callback(servers.postgresql.start)  # a test that failed may have left it down
            store_url = servers.postgresql.postgres_url(own)
        if "rabbitmq" in name:
            servers.rabbitmq.create_vhost(own)
            cleanup.callback(servers.rabbitmq.drop_vhost, own)
            cleanup.callback(servers.rabbitmq.start)
            broker_url = servers.rabbitmq.amqp_url(own)
        stack = Stack(folder, store_url, broker_url)
        cleanup.callback(stack.close)
        yield stack


@pytest.fixture(scope="module", params=EMBEDDED_AND_WHOLE)
def services(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """An API and a worker that the tests of a module share: none of them takes anything away."""
    with combination(request.param, request, tmp_path_factory.mktemp("services")) as made:
        made.start_api()
        made.start_worker()
        yield made


@pytest.fixture(params=COMBINATIONS)
def stack(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stack]:
    """Each combination in turn; the test starts what it needs."""
    with combination(request.param, request, tmp_path) as made:
        yield made
