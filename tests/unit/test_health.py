"""The worker's health server as its port sees it."""

import socket
from collections.abc import Iterator
from typing import cast

import pytest

from offload_shared.errors import SettingsInvalid
from offload_worker import health
from offload_worker.health import HealthServer
from offload_worker.service import WorkerService


@pytest.fixture
def server() -> Iterator[HealthServer]:
    made = HealthServer("127.0.0.1", 0)
    made.serve(cast("WorkerService", None))
    yield made
    made.close()


def test_a_connection_that_says_nothing_is_let_go(server: HealthServer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert health.IDLE_SECONDS == health._Handler.timeout
    monkeypatch.setattr(health._Handler, "timeout", 0.1)

    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as idle:
        assert b"" == idle.recv(1)


def test_a_taken_port_is_a_wrong_setting(server: HealthServer) -> None:
    with pytest.raises(SettingsInvalid, match=rf"OFFLOAD_HEALTH_PORT {server.port}: cannot listen there"):
        HealthServer("127.0.0.1", server.port)
