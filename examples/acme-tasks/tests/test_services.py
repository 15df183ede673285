"""Through the services: as a client sees it, on embedded parts and on RabbitMQ with PostgreSQL."""

import io
from collections.abc import Callable

import pytest
from PIL import Image

from offload_testing.services import Offload


@pytest.fixture(params=["offload", "offload_on_servers"])
def running(request: pytest.FixtureRequest) -> Offload:
    """Give the services on each kind of parts in turn."""
    found: Offload = request.getfixturevalue(request.param)
    return found


def test_a_client_gets_its_thumbnails(running: Offload, picture: Callable[[int, int], bytes]) -> None:
    file_id = running.upload(picture(640, 480), "image/png")

    job = running.run("acme-thumbnails", {"file_id": file_id, "sizes": [64]})

    assert [{"artifact": "64.jpg", "width": 64, "height": 48}] == running.result(job["id"])["pictures"]
    assert (64, 48) == Image.open(io.BytesIO(running.artifact(job["id"], "64.jpg"))).size


def test_a_client_is_told_why_its_file_is_refused(running: Offload) -> None:
    job = running.ended(running.submit("acme-thumbnails", {"file_id": running.upload(b"no picture")}))

    assert ("failed", "/problems/job-rejected") == (job["state"], job["error"]["type"])
