import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.servers.errors import ServersUnavailableError
from tests.servers.session import Servers, running_servers

_REPORT = pytest.StashKey[str]()

TESTS = Path(__file__).parent
#: What depends on which servers there are: the store, the broker, and what is asked of both together. The rest meets
#: no server, looks for faults at length, or is about runners, documents and clients, which are the same on all servers.
OF_SERVERS = (
    "integration",
    "acceptance/test_demo.py",
    "acceptance/test_jobs.py",
    "acceptance/test_kills.py",
    "acceptance/test_start.py",
)


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest) -> Iterator[Servers]:
    """Give the real RabbitMQ and PostgreSQL, started for the first test that asks and ended with the session."""
    began = time.monotonic()
    with ExitStack() as stack:
        try:
            started = stack.enter_context(running_servers())
        except ServersUnavailableError as error:
            pytest.exit(str(error), returncode=pytest.ExitCode.USAGE_ERROR)
        request.config.stash[_REPORT] = f"{started}, there after {time.monotonic() - began:.1f} s"
        yield started


@pytest.fixture
def amqp_url(servers: Servers) -> Iterator[str]:
    """Give a virtual host that is this test's alone."""
    vhost = f"test-{uuid.uuid4().hex}"
    servers.rabbitmq.create_vhost(vhost)
    yield servers.rabbitmq.amqp_url(vhost)
    servers.rabbitmq.start()  # a test that failed may have left it down
    servers.rabbitmq.drop_vhost(vhost)


@pytest.fixture
def postgres_url(servers: Servers) -> Iterator[str]:
    """Give an empty database that is this test's alone, for SQLAlchemy."""
    database = f"test_{uuid.uuid4().hex}"
    servers.postgresql.create_database(database)
    yield servers.postgresql.postgres_url(database)
    servers.postgresql.start()  # a test that failed may have left it down
    servers.postgresql.drop_database(database)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--servers-alone",
        action="store_true",
        help="leave out what does not depend on which servers there are, once all has run on others",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--servers-alone"):
        left_out = [item for item in items if _is_embedded(item) or not _is_of_servers(item)]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def _is_of_servers(item: pytest.Item) -> bool:
    path = item.path.relative_to(TESTS)
    return any(path.is_relative_to(each) for each in OF_SERVERS)


def _is_embedded(item: pytest.Item) -> bool:
    parameters = (
        item.callspec.params.values() if isinstance(item, pytest.Function) and hasattr(item, "callspec") else ()
    )
    return any("sqlite" in (each, getattr(each, "combination", None)) for each in parameters)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if report := config.stash.get(_REPORT, None):
        terminalreporter.write_line(f"servers: {report}")
