"""The fixtures; pytest finds them wherever this package is installed."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from offload_shared import tasks
from offload_testing.alone import Ran, run_alone
from offload_testing.services import Offload, running


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let servers be named that are there already."""
    group = parser.getgroup("offload")
    group.addoption("--offload-store-url", help="a PostgreSQL database for `offload_on_servers`; default: a container")
    group.addoption("--offload-broker-url", help="a RabbitMQ for `offload_on_servers`; default: a container")


@pytest.fixture
def run_handler(tmp_path: Path) -> Callable[..., Ran]:
    """Run a handler alone, here and now: `run_handler(task, payload, files={id: content})`."""
    return partial(run_alone, tmp_path)


@pytest.fixture(scope="session")
def offload(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Offload]:
    """Give an API and a worker, processes of their own on SQLite and a folder, that know your tasks."""
    with running(tmp_path_factory.mktemp("offload"), _queues(), {}) as started:
        yield started


@pytest.fixture(scope="session")
def offload_on_servers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Offload]:
    """Give the same on RabbitMQ and PostgreSQL: those that the options name, else containers."""
    with ExitStack() as stack:
        store, broker = (request.config.getoption(f"--offload-{name}-url") for name in ("store", "broker"))
        if not (store and broker):
            from offload_testing.containers import servers  # noqa: PLC0415 - an extra, and Docker

            store, broker = stack.enter_context(servers())
        settings = {"OFFLOAD_STORE_URL": store, "OFFLOAD_BROKER_URL": broker}
        yield stack.enter_context(running(tmp_path_factory.mktemp("offload-on-servers"), _queues(), settings))


def _queues() -> list[str]:
    # Those of tasks that are not Offload's own: what those import would make each start slow.
    return sorted({task.queue for task in tasks.registry().values() if task not in tasks.SHIPPED})
