"""The app to compare with: Offload's API with two more routes, which compute in its own process. Its own program."""

import logging
import os

from litestar import get

from benchmarks.latency.work import compute
from offload_api.app import create_app
from offload_api.main import connect
from offload_api.server import Server, listening_socket
from offload_api.settings import ApiSettings
from offload_shared.settings import load

#: Longer than any stall: a connection closed for idleness while the loop was busy would count as an error.
KEEP_ALIVE_SECONDS = 300


@get("/in-request")
async def in_request(amount: int) -> int:
    """Compute on the event loop."""
    return compute("python", amount)


@get("/on-thread", sync_to_thread=True)
def on_thread(amount: int) -> int:
    """Compute on a thread of Litestar's pool."""
    return compute("python", amount)


def main() -> None:
    """Serve as `offload-api` does, with its settings from the environment."""
    logging.basicConfig(level=logging.INFO)
    settings = load(ApiSettings, os.environ)
    services = connect(settings)
    app = create_app(services)
    app.register(in_request)
    app.register(on_thread)
    server = Server(app, services)
    server.config.timeout_keep_alive = KEEP_ALIVE_SECONDS
    server.run(sockets=[listening_socket(settings)])


if __name__ == "__main__":
    main()
