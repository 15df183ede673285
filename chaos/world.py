"""Everything a run consists of, and how it is put together and taken apart."""

import asyncio
import signal
import threading
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec
from sqlalchemy import make_url
from tests.servers.ports import free_ports
from tests.servers.session import Servers

from chaos.disk import SmallDisk
from chaos.fleet import SLOTS, Fleet, environment
from chaos.history import Journal
from chaos.load import Load
from chaos.network import Network
from chaos.options import Options
from chaos.store import StoreReader
from offload_shared import topology


class World(msgspec.Struct, frozen=True, kw_only=True):
    """The servers, the network to them, our processes, and the load on them."""

    options: Options
    folder: Path
    servers: Servers
    vhost: str
    database: str
    store_network: Network
    broker_network: Network
    fleet: Fleet
    disk: SmallDisk
    journal: Journal
    load: Load
    store: StoreReader
    resting: threading.Event  # set once the load and the faults are over

    async def queue_depths(self) -> dict[str, int]:
        """Return how many messages each queue of ours holds."""
        depths = await asyncio.to_thread(self.servers.rabbitmq.queue_depths, self.vhost)
        return {queue: depths.get(topology.queue_name(queue), 0) for queue in SLOTS}


@asynccontextmanager
async def make_world(options: Options, folder: Path, servers: Servers) -> AsyncIterator[World]:
    """Make everything but the processes' start, and leave nothing of it behind."""
    own = f"chaos_{uuid.uuid4().hex}"
    async with AsyncExitStack() as cleanup:
        # Undone in the reverse order; a fault that could not be undone must not keep the rest from being.
        servers.postgresql.create_database(own)
        cleanup.callback(servers.postgresql.drop_database, own)
        cleanup.callback(_revive, servers)
        servers.rabbitmq.create_vhost(own)
        cleanup.callback(servers.rabbitmq.drop_vhost, own)
        cleanup.callback(_revive, servers)
        store_port, broker_port = free_ports(2)
        store_network = await _network(cleanup, servers.postgresql.host, servers.postgresql.port, store_port)
        broker_network = await _network(cleanup, servers.rabbitmq.host, servers.rabbitmq.amqp_port, broker_port)
        disk = SmallDisk(folder / "disk")
        cleanup.callback(disk.close)
        told = settings(options, folder, servers, own, store_port=store_port, broker_port=broker_port)
        fleet = Fleet(folder, environment(folder, told), apis=2, workers=options.workers)
        cleanup.callback(_end, fleet)
        journal = Journal(folder / "history.jsonl", seed=options.seed, lease_seconds=options.lease_seconds)
        cleanup.callback(journal.close)
        load = Load([api.port for api in fleet.apis], journal)
        cleanup.push_async_callback(load.close)
        store = StoreReader(servers.postgresql.postgres_url(own))
        cleanup.callback(store.close)
        resting = threading.Event()
        cleanup.callback(resting.set)
        yield World(
            options=options,
            folder=folder,
            servers=servers,
            vhost=own,
            database=own,
            store_network=store_network,
            broker_network=broker_network,
            fleet=fleet,
            disk=disk,
            journal=journal,
            load=load,
            store=store,
            resting=resting,
        )


def settings(
    options: Options, folder: Path, servers: Servers, own: str, *, store_port: int, broker_port: int
) -> dict[str, str]:
    """Return the settings of our processes: both servers behind the proxies, temporary files where they are counted."""
    store = make_url(servers.postgresql.postgres_url(own)).set(host="127.0.0.1", port=store_port)
    amqp = servers.rabbitmq.amqp_url(own)
    behind = f"@{servers.rabbitmq.host}:{servers.rabbitmq.amqp_port}/"
    temporary = folder / "tmp"
    temporary.mkdir()
    return {
        "OFFLOAD_STORE_URL": store.render_as_string(hide_password=False),
        "OFFLOAD_BROKER_URL": amqp.replace(behind, f"@127.0.0.1:{broker_port}/"),
        "OFFLOAD_ARTIFACTS_URL": (folder / "disk" / "artifacts").as_uri(),
        "OFFLOAD_LEASE_SECONDS": f"{options.lease_seconds:g}",
        "OFFLOAD_SWEEP_SECONDS": f"{min(2.0, options.lease_seconds / 8):g}",
        "OFFLOAD_GRACE_SECONDS": f"{min(25.0, options.lease_seconds):g}",
        "OFFLOAD_PAUSE_SECONDS": f"{min(30.0, options.lease_seconds):g}",
        "TMPDIR": str(temporary),
    }


async def _network(cleanup: AsyncExitStack, host: str, target: int, port: int) -> Network:
    network = Network(host, target, port)
    cleanup.push_async_callback(network.close)
    await network.start()
    return network


def _revive(servers: Servers) -> None:
    servers.postgresql.thaw()
    servers.rabbitmq.thaw()
    servers.start()


def _end(fleet: Fleet) -> None:
    for service in fleet.all:
        for process in service.family():
            process.send_signal(signal.SIGCONT)
        service.kill()
