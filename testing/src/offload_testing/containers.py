"""RabbitMQ and PostgreSQL in containers, for the length of a `with` block."""

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

RABBITMQ_IMAGE, POSTGRESQL_IMAGE = "rabbitmq:4-management", "postgres:17"
START_SECONDS = 120


@contextmanager
def servers() -> Iterator[tuple[str, str]]:
    """Start both servers and yield the URLs of store and broker; fails the test, with what to do, where none can be."""
    try:
        from testcontainers.core.container import DockerContainer  # noqa: PLC0415 - an extra
        from testcontainers.core.wait_strategies import LogMessageWaitStrategy  # noqa: PLC0415
    except ImportError:
        pytest.fail("`offload_on_servers` needs `offload-testing[servers]`, or --offload-store-url and -broker-url")
    password = secrets.token_hex(8)
    # Plain containers: the ready-made ones read RABBITMQ_* and POSTGRES_* from your own environment.
    postgresql = DockerContainer(POSTGRESQL_IMAGE).with_env("POSTGRES_PASSWORD", password).with_exposed_ports(5432)
    rabbitmq = (
        DockerContainer(RABBITMQ_IMAGE)
        .with_env("RABBITMQ_DEFAULT_USER", "offload")
        .with_env("RABBITMQ_DEFAULT_PASS", password)
        .with_exposed_ports(5672)
        .waiting_for(LogMessageWaitStrategy("Server startup complete").with_startup_timeout(START_SECONDS))
    )
    try:
        postgresql.start()
        rabbitmq.start()
    except Exception as error:  # noqa: BLE001 - of whichever library finds that there is no Docker
        pytest.fail(f"the servers' containers cannot be started: {error}; name servers by --offload-store-url and ...")
    try:
        store = f"postgres:{password}@{_address(postgresql, 5432)}/postgres"
        _wait_for(f"postgresql://{store}")
        yield (
            f"postgresql+psycopg://{store}",
            f"amqp://offload:{password}@{_address(rabbitmq, 5672)}/%2F",
        )
    finally:
        postgresql.stop()
        rabbitmq.stop()


def _wait_for(url: str) -> None:
    # Its log says that it is ready twice: the first time for itself alone, while it makes the database.
    ends = time.monotonic() + START_SECONDS
    while True:
        try:
            psycopg.connect(url, connect_timeout=2).close()
        except psycopg.OperationalError:
            if time.monotonic() > ends:
                raise
            time.sleep(0.1)
        else:
            return


def _address(container: object, port: int) -> str:
    host, exposed = container.get_container_host_ip(), container.get_exposed_port(port)  # type: ignore[attr-defined]
    return f"{host}:{exposed}"
