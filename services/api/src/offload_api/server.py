"""The HTTP server: uvicorn as this service needs it."""

import logging
import socket
from functools import partial
from ipaddress import ip_address
from typing import Any, cast

import uvicorn
from litestar import Litestar

from offload_api.connections import Connections
from offload_api.metering import metered
from offload_api.protocol import Protocol
from offload_api.services import Services
from offload_api.settings import ApiSettings
from offload_shared.errors import SettingsInvalid

BACKLOG = 2048
IDLE_SECONDS = 10

_log = logging.getLogger(__name__)


class Server(uvicorn.Server):
    """Says where it listens, and lets nobody who waits for a job hold up its end."""

    def __init__(self, app: Litestar, services: Services) -> None:
        self._services = services
        settings = services.settings
        places = Connections(most=settings.max_connections, most_of_client=settings.max_connections_per_client)
        super().__init__(
            uvicorn.Config(
                metered(app, services.metrics),
                loop="auto",  # uvloop where there is one
                http=cast("Any", partial(Protocol, places=places)),
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                backlog=BACKLOG,
                timeout_keep_alive=IDLE_SECONDS,
                timeout_graceful_shutdown=settings.shutdown_seconds,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say where."""
        await super().startup(sockets)
        for each in sockets or []:
            host, port = each.getsockname()[:2]
            _log.info("Offload's API listens on http://%s:%d", f"[{host}]" if ":" in host else host, port)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer who waits, then end as uvicorn does: what is in flight is answered first."""
        self._services.watch.close()
        await super().shutdown(sockets)


def listening_socket(settings: ApiSettings) -> socket.socket:
    """Return a socket that listens where the settings say; raises `SettingsInvalid` when that cannot be had."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listening = socket.create_server((settings.host, settings.port), family=family, backlog=BACKLOG)
    except OSError as error:
        where = f"{settings.host} port {settings.port}"
        raise SettingsInvalid(f"cannot listen on {where}: {error.strerror or error}") from None
    # What a name stands for is known only now; nobody is served yet.
    if settings.auth == "loopback" and not ip_address(listening.getsockname()[0]).is_loopback:
        listening.close()
        raise SettingsInvalid(
            f"will not serve everybody who reaches {settings.host}: set OFFLOAD_AUTH=keys to ask for API keys, "
            "OFFLOAD_AUTH=jwt to ask for tokens, or OFFLOAD_AUTH=open when something else sees to it"
        )
    return listening
