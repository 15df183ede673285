from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.stack import Stack

COMBINATIONS = ["sqlite", "sqlite+rabbitmq", "postgresql", "postgresql+rabbitmq"]


@pytest.fixture(params=COMBINATIONS)
def stack(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stack]:
    """Give the services' surroundings, on each combination of store and broker; the test starts what it needs."""
    parts = request.param.split("+")
    store_url = str(request.getfixturevalue("postgres_url")) if parts[0] == "postgresql" else ""
    broker_url = str(request.getfixturevalue("amqp_url")) if "rabbitmq" in parts else ""
    made = Stack(tmp_path, store_url, broker_url)
    try:
        yield made
    finally:
        made.close()
