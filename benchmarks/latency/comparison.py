"""The app to compare with: it computes in its own process, inside the request or on a thread. Its own program."""

import logging
import socket

import uvicorn
from litestar import Litestar, Response, get

from benchmarks.latency.work import compute

BACKLOG = 2048
#: Longer than any stall: a connection closed for idleness while the loop was busy would count as an error.
KEEP_ALIVE_SECONDS = 300

_HEADERS = {"Cache-Control": "no-store"}


@get("/live")
async def live() -> Response[bytes]:
    """Answer what Offload's GET /health/live answers, in the same way."""
    return Response(b'{"status":"ok"}', media_type="application/json", headers=_HEADERS)


@get("/in-request")
async def in_request(amount: int) -> int:
    """Compute on the event loop."""
    return compute("python", amount)


@get("/on-thread", sync_to_thread=True)
def on_thread(amount: int) -> int:
    """Compute on a thread of Litestar's pool."""
    return compute("python", amount)


def main() -> None:
    """Serve on a free port of loopback, as Offload's API is served, and print where."""
    app = Litestar([live, in_request, on_thread], logging_config=None, openapi_config=None)
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=1,
    )
    logging.basicConfig(level=logging.INFO)
    with socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) as listening:
        print(f"listens on http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
        uvicorn.Server(config).run([listening])


if __name__ == "__main__":
    main()
