"""The faults: each is a context in which something is broken, and after which it is whole again."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from random import Random

import msgspec
import psutil

from chaos.fleet import Service
from chaos.kinds import BURST
from chaos.network import Order
from chaos.world import World
from offload_shared import topology

BURST_JOBS = 20
DEATH_NOTICE_SECONDS = 60.0


class Broken(msgspec.Struct, kw_only=True):
    """What a fault in force has hit."""

    target: str
    orphans: list[tuple[str, int]] = []
    waiting: list[str] = []


Inject = Callable[[World, Random], AbstractAsyncContextManager[Broken]]


class FaultKind(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of fault: how it is injected, for how long it holds, and what it takes away meanwhile."""

    name: str
    inject: Inject
    seconds: tuple[float, float]
    hits: str  # api, worker, broker, store or disk: two faults at once hit different ones
    in_leases: bool = False  # whether the seconds count leases: shorter than one changes nothing, longer fences
    denies_store: bool = False  # nothing can be committed while it holds


async def _kill(world: World, services: Iterable[Service]) -> Broken:
    killed = list(services)
    orphans = await asyncio.to_thread(world.store.running_on, [service.pid for service in killed])
    for service in killed:
        service.kill()
    return Broken(target=", ".join(service.name for service in killed), orphans=orphans)


@asynccontextmanager
async def kill_api(world: World, random: Random) -> AsyncIterator[Broken]:
    """Kill one API."""
    service = random.choice(world.fleet.apis)
    try:
        yield await _kill(world, [service])
    finally:
        service.start()


@asynccontextmanager
async def kill_worker(world: World, random: Random) -> AsyncIterator[Broken]:
    """Kill one worker; its children die with it."""
    service = random.choice(world.fleet.workers)
    try:
        yield await _kill(world, [service])
    finally:
        service.start()


@asynccontextmanager
async def kill_everything(world: World, _: Random) -> AsyncIterator[Broken]:
    """Kill every process of ours at once."""
    try:
        yield await _kill(world, world.fleet.all)
    finally:
        for service in world.fleet.all:
            service.start()


@asynccontextmanager
async def _frozen(processes: list[psutil.Process], target: str) -> AsyncIterator[Broken]:
    try:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.suspend()
        yield Broken(target=target)
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.resume()


def freeze_api(world: World, random: Random) -> AbstractAsyncContextManager[Broken]:
    """Freeze one API."""
    service = random.choice(world.fleet.apis)
    return _frozen(service.family(), service.name)


def freeze_worker(world: World, random: Random) -> AbstractAsyncContextManager[Broken]:
    """Freeze one worker, alone or with its children: alone, they work on while nobody keeps their leases."""
    service = random.choice(world.fleet.workers)
    family = service.family()
    with_children = random.random() < 0.5
    return _frozen(family if with_children else family[:1], f"{service.name}{' and children' * with_children}")


@asynccontextmanager
async def kill_child(world: World, random: Random) -> AsyncIterator[Broken]:
    """Kill a process in which a worker runs jobs."""
    service, child = _some_child(world, random)
    if child is not None:
        with suppress(psutil.NoSuchProcess):
            child.kill()
    yield Broken(target=f"a child of {service.name}")


@asynccontextmanager
async def freeze_child(world: World, random: Random) -> AsyncIterator[Broken]:
    """Freeze a process in which a worker runs jobs."""
    service, child = _some_child(world, random)
    async with _frozen([child] if child else [], f"a child of {service.name}") as broken:
        yield broken


def _some_child(world: World, random: Random) -> tuple[Service, psutil.Process | None]:
    service = random.choice([worker for worker in world.fleet.workers if worker.children()] or world.fleet.workers)
    children = service.children()
    # One that computes, if there is one: an idle one would be missed by nobody.
    children.sort(key=lambda child: -_cpu_seconds(child))
    return service, children[0] if children else None


def _cpu_seconds(process: psutil.Process) -> float:
    with suppress(psutil.NoSuchProcess):
        return float(process.cpu_times().user)
    return 0.0


@asynccontextmanager
async def kill_guardian(world: World, random: Random) -> AsyncIterator[Broken]:
    """Kill a worker's guardian; the worker says so, and is replaced as an orchestrator would."""
    service = random.choice(world.fleet.workers)
    guardian = service.guardian()
    try:
        if guardian is not None:
            guardian.kill()
            await _until(lambda: asyncio.to_thread(_misses_guardian, service), DEATH_NOTICE_SECONDS)
        yield Broken(target=f"the guardian of {service.name}")
    finally:
        await asyncio.to_thread(service.stop)
        service.start()


@asynccontextmanager
async def freeze_guardian(world: World, random: Random) -> AsyncIterator[Broken]:
    """Freeze a worker's guardian: it is missed only should its worker die meanwhile."""
    service = random.choice(world.fleet.workers)
    guardian = service.guardian()
    async with _frozen([guardian] if guardian else [], f"the guardian of {service.name}") as broken:
        yield broken


def _misses_guardian(service: Service) -> bool:
    status, body = service.health("live")
    return status == 503 and "guardian" in body


@asynccontextmanager
async def restart_broker(world: World, _: Random) -> AsyncIterator[Broken]:
    """Stop RabbitMQ in order, and start it again."""
    try:
        await asyncio.to_thread(world.servers.rabbitmq.stop)
        yield Broken(target="RabbitMQ")
    finally:
        await asyncio.to_thread(world.servers.rabbitmq.start)


@asynccontextmanager
async def kill_broker(world: World, _: Random) -> AsyncIterator[Broken]:
    """Kill RabbitMQ, and start it again with the data it has on disk."""
    try:
        await asyncio.to_thread(world.servers.rabbitmq.kill)
        yield Broken(target="RabbitMQ")
    finally:
        await asyncio.to_thread(world.servers.rabbitmq.start)


@asynccontextmanager
async def freeze_broker(world: World, _: Random) -> AsyncIterator[Broken]:
    """Freeze RabbitMQ."""
    try:
        await asyncio.to_thread(world.servers.rabbitmq.freeze)
        yield Broken(target="RabbitMQ")
    finally:
        await asyncio.to_thread(world.servers.rabbitmq.thaw)


@asynccontextmanager
async def lose_broker_data(world: World, random: Random) -> AsyncIterator[Broken]:
    """Delete all that RabbitMQ holds for us, queues and messages and permissions, while everybody is connected."""
    waiting = await _messages_waiting(world, random)
    try:
        await asyncio.to_thread(world.servers.rabbitmq.drop_vhost, world.vhost)
        yield Broken(target="the virtual host", waiting=waiting)
    finally:
        await asyncio.to_thread(world.servers.rabbitmq.create_vhost, world.vhost)


@asynccontextmanager
async def reset_broker(world: World, random: Random) -> AsyncIterator[Broken]:
    """Take RabbitMQ back to the node that it was when it was installed."""
    waiting = await _messages_waiting(world, random)
    try:
        await asyncio.to_thread(world.servers.rabbitmq.reset)
        yield Broken(target="RabbitMQ", waiting=waiting)
    finally:
        await asyncio.to_thread(world.servers.rabbitmq.create_vhost, world.vhost)


@asynccontextmanager
async def delete_queue(world: World, random: Random) -> AsyncIterator[Broken]:
    """Delete the queue of the jobs that run in processes, with its messages and under its consumers."""
    waiting = await _messages_waiting(world, random)
    await asyncio.to_thread(world.servers.rabbitmq.delete_queue, world.vhost, topology.queue_name("probe"))
    yield Broken(target="queue probe", waiting=waiting)


async def _messages_waiting(world: World, random: Random) -> list[str]:
    # Workers are quick: without a burst there would be no message to be lost.
    world.load.burst(BURST, f"burst-{random.getrandbits(32):x}", BURST_JOBS)
    await asyncio.sleep(0.3)
    return await asyncio.to_thread(world.store.waiting)


@asynccontextmanager
async def alarm_memory(world: World, _: Random) -> AsyncIterator[Broken]:
    """Let RabbitMQ be out of memory: it takes no more messages."""
    try:
        await asyncio.to_thread(world.servers.rabbitmq.raise_memory_alarm)
        yield Broken(target="RabbitMQ")
    finally:
        await asyncio.to_thread(world.servers.rabbitmq.clear_memory_alarm)


@asynccontextmanager
async def restart_store(world: World, _: Random) -> AsyncIterator[Broken]:
    """Kill PostgreSQL in the middle of everything, and let it recover from its log."""
    try:
        await asyncio.to_thread(world.servers.postgresql.kill)
        yield Broken(target="PostgreSQL")
    finally:
        await asyncio.to_thread(world.servers.postgresql.start)


@asynccontextmanager
async def freeze_store(world: World, _: Random) -> AsyncIterator[Broken]:
    """Freeze PostgreSQL."""
    try:
        await asyncio.to_thread(world.servers.postgresql.freeze)
        yield Broken(target="PostgreSQL")
    finally:
        await asyncio.to_thread(world.servers.postgresql.thaw)


@asynccontextmanager
async def terminate_backends(world: World, _: Random) -> AsyncIterator[Broken]:
    """End every connection to the store, whatever it is in the middle of."""
    await asyncio.to_thread(world.servers.postgresql.terminate_backends, world.database)
    yield Broken(target="every connection")


def on_network(to: str, how: Order) -> Inject:
    """Return the fault that does `how` to the network between us and a server."""

    @asynccontextmanager
    async def inject(world: World, _: Random) -> AsyncIterator[Broken]:
        network = world.store_network if to == "store" else world.broker_network
        try:
            connections = await network.tell(how)
            yield Broken(target=f"{connections} connections to the {to}")
        finally:
            await network.tell("heal")

    return inject


@asynccontextmanager
async def fill_disk(world: World, _: Random) -> AsyncIterator[Broken]:
    """Fill the disk of the artifacts."""
    try:
        await asyncio.to_thread(world.disk.fill)
        yield Broken(target="the disk of the artifacts")
    finally:
        world.disk.relieve()


async def _until(condition: Callable[[], Awaitable[bool]], seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.1)


SHORT, MIDDLING, LONG = (0.5, 2.0), (3.0, 7.0), (6.0, 12.0)

FAULTS = (
    FaultKind(name="kill API", inject=kill_api, seconds=SHORT, hits="api"),
    FaultKind(name="freeze API", inject=freeze_api, seconds=MIDDLING, hits="api"),
    FaultKind(name="kill worker", inject=kill_worker, seconds=SHORT, hits="worker"),
    FaultKind(name="freeze worker", inject=freeze_worker, seconds=(0.3, 1.7), hits="worker", in_leases=True),
    FaultKind(name="kill all ours", inject=kill_everything, seconds=SHORT, hits="worker"),
    FaultKind(name="kill child", inject=kill_child, seconds=(0, 0.5), hits="worker"),
    FaultKind(name="freeze child", inject=freeze_child, seconds=MIDDLING, hits="worker"),
    FaultKind(name="kill guardian", inject=kill_guardian, seconds=(0, 0.5), hits="worker"),
    FaultKind(name="freeze guardian", inject=freeze_guardian, seconds=MIDDLING, hits="worker"),
    FaultKind(name="restart broker", inject=restart_broker, seconds=SHORT, hits="broker"),
    FaultKind(name="kill broker", inject=kill_broker, seconds=SHORT, hits="broker"),
    FaultKind(name="freeze broker", inject=freeze_broker, seconds=MIDDLING, hits="broker"),
    FaultKind(name="broker data gone", inject=lose_broker_data, seconds=SHORT, hits="broker"),
    FaultKind(name="reset broker", inject=reset_broker, seconds=SHORT, hits="broker"),
    FaultKind(name="delete queue", inject=delete_queue, seconds=SHORT, hits="broker"),
    FaultKind(name="memory alarm", inject=alarm_memory, seconds=MIDDLING, hits="broker"),
    FaultKind(name="cut broker", inject=on_network("broker", "cut"), seconds=MIDDLING, hits="broker"),
    FaultKind(name="stall broker", inject=on_network("broker", "stall"), seconds=LONG, hits="broker"),
    FaultKind(name="half-open broker", inject=on_network("broker", "half_open"), seconds=LONG, hits="broker"),
    FaultKind(name="kill store", inject=restart_store, seconds=SHORT, hits="store", denies_store=True),
    FaultKind(name="freeze store", inject=freeze_store, seconds=MIDDLING, hits="store", denies_store=True),
    FaultKind(name="terminate backends", inject=terminate_backends, seconds=(0, 0.5), hits="store"),
    FaultKind(name="cut store", inject=on_network("store", "cut"), seconds=MIDDLING, hits="store", denies_store=True),
    FaultKind(name="stall store", inject=on_network("store", "stall"), seconds=LONG, hits="store", denies_store=True),
    FaultKind(name="half-open store", inject=on_network("store", "half_open"), seconds=LONG, hits="store"),
    FaultKind(name="full disk", inject=fill_disk, seconds=MIDDLING, hits="disk"),
)

BY_NAME = {kind.name: kind for kind in FAULTS}
