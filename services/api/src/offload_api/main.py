"""Starts the API: the one place that connects, from the settings to the server."""

import logging
import os
import signal
import sys
from typing import Annotated

import msgspec
import typer

from offload_api.app import create_app
from offload_api.connections import allow_descriptors
from offload_api.key_commands import commands
from offload_api.publisher import Publisher
from offload_api.server import Server, listening_socket
from offload_api.services import Services, assemble
from offload_api.settings import ApiSettings
from offload_api.store import SCANNING_THREADS
from offload_api.trail import LOGGER
from offload_shared import failpoints
from offload_shared.artifacts import Artifacts
from offload_shared.errors import OffloadError
from offload_shared.interpreter import keep_what_is_there, take_short_turns
from offload_shared.settings import load
from offload_shared.store.database import Database
from offload_shared.store.migrate import migrate
from offload_shared.tasks import queues, registry

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


cli = typer.Typer(add_completion=False)
cli.add_typer(commands, name="keys")


def main() -> None:
    """Run the command `offload-api`."""
    cli()


@cli.callback(invoke_without_command=True)
def serve(
    context: typer.Context,
    host: Annotated[str | None, typer.Option(help="Where to listen. [OFFLOAD_HOST]")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65_535, help="0: any that is free. [OFFLOAD_PORT]")] = None,
) -> None:
    """Serve Offload's HTTP API until SIGTERM; everything else is set by environment variables."""
    if context.invoked_subcommand is not None:
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # uvicorn raises the signal again once it has ended
    try:
        settings = load(ApiSettings, os.environ)
        settings = msgspec.structs.replace(
            settings, host=host or settings.host, port=settings.port if port is None else port
        )
        _configure_logging(settings.log_level)
        failpoints.arm(settings.failpoints)
        take_short_turns()
        allow_descriptors(settings.max_connections)
        services = connect(settings)
        listening = listening_socket(settings)
    except OffloadError as error:
        sys.exit(f"offload-api: {error}")
    server = Server(create_app(services), services)
    keep_what_is_there()
    server.run(sockets=[listening])
    services.store.close()


def connect(settings: ApiSettings) -> Services:
    """Return the services that the settings describe, the store's schema up to date; raises `OffloadError`.

    The broker alone is not called yet: it may come and go, and jobs are accepted without it.
    """
    # Beside the threads: the sweeper's, the collector's and the scheduler's.
    database = Database(settings.store, connections=settings.store_threads + SCANNING_THREADS + 3)
    migrate(database)
    publisher = None
    if settings.broker_url:
        publisher = Publisher(settings.broker_url, queues(), quorum=settings.broker_quorum)
    return assemble(settings, registry(), database, Artifacts(settings.artifacts), publisher)


def _configure_logging(level: str) -> None:
    logging.basicConfig(level=level, format=LOG_FORMAT)
    logging.getLogger(LOGGER).setLevel(logging.INFO)  # the trail is whole, however quiet the rest is to be
    # Their news is told in our own words, once each.
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    logging.getLogger("pika").setLevel(logging.CRITICAL)
