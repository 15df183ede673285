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
#: Where the store, the broker, and what is asked of both together are tried. The rest looks for faults at length, or is
#: about runners, documents and clients, which are the same on all servers.
OF_SERVERS = (
    "integration",
    "acceptance/test_demo.py",
    "acceptance/test_jobs.py",
    "acceptance/test_kills.py",
    "acceptance/test_start.py",
)
#: What a test names, as a fixture or in a parameter, when it asks for servers.
SERVER_NAMES = ("postgres", "rabbitmq", "amqp_url", "servers")


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
        left_out = [item for item in items if not (_is_of_servers(item) and _asks_for_servers(item))]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def _is_of_servers(item: pytest.Item) -> bool:
    path = item.path.relative_to(TESTS)
    return any(path.is_relative_to(each) for each in OF_SERVERS)


def _asks_for_servers(item: pytest.Item) -> bool:
    if not isinstance(item, pytest.Function):
        return False
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    names = [*item.fixturenames, *(str(getattr(each, "combination", each)) for each in parameters)]
    return any(server in name for name in names for server in SERVER_NAMES)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if report := config.stash.get(_REPORT, None):
        terminalreporter.write_line(f"servers: {report}")
