"""One run from the start of the servers' clients to the verdict."""

import asyncio
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

from tests.servers.session import Servers

from chaos import leaks, store
from chaos.checker import check
from chaos.evidence import Evidence
from chaos.fleet import Service
from chaos.history import ServiceEnded, read
from chaos.machine import watch_machine
from chaos.nemesis import Nemesis, ended
from chaos.options import Options
from chaos.plan import make_plan
from chaos.report import Outcome
from chaos.timings import timings
from chaos.world import World, make_world

QUEUE_PATIENCE_SECONDS = 30.0
HEALTHY = 200
SCHEDULES = ("every-minute-1", "every-minute-2", "every-minute-3")

Say = Callable[[str], object]


async def run(options: Options, folder: Path, servers: Servers, say: Say) -> Outcome:
    """Run the load and the faults that the seed stands for, and judge what became of it."""
    async with make_world(options, folder, servers) as world:
        await world.fleet.start()
        minding = [asyncio.create_task(world.fleet.tend(_noting(world))), asyncio.create_task(watch_machine(world))]
        try:
            nemesis = await _trouble(world, say)
            problems = await _calm(world, say)
        finally:
            world.resting.set()
            for task in minding:
                await ended(task)
        say("ending all processes")
        problems += _badly_ended(await world.fleet.stop())
        rows = await asyncio.to_thread(world.store.rows)
        store.save(rows, folder / "rows.json")
        problems += await asyncio.to_thread(leaks.left_over, folder)
        history = read(folder / "history.jsonl")
        evidence = Evidence(history, rows)
        return Outcome(
            seed=options.seed,
            seconds=options.seconds,
            lease_seconds=options.lease_seconds,
            setting=_setting(options, servers),
            verdict=check(history, rows),
            timings=timings(evidence),
            leaks=problems,
            stale_refused=_logged(folder, "ends fenced"),
            restarts=len(history.ended),
            slowed_seconds=sum(until - since for since, until in evidence.standstills),
            left_out=nemesis.left_out,
        )


async def _trouble(world: World, say: Say) -> Nemesis:
    options, began = world.options, time.monotonic()

    def tell(what: str) -> None:
        say(f"{time.monotonic() - began:5.0f} s  {world.load.submitted} submitted, {world.load.ended} ended  {what}")

    schedules = {note: await world.load.add_schedule(note) for note in SCHEDULES}
    nemesis = Nemesis(world, tell)
    plan = make_plan(options.seed, seconds=options.seconds, rate=options.rate, longest=options.longest_job_seconds)
    loading = asyncio.create_task(world.load.run(plan))
    try:
        await nemesis.run()
        await loading
    finally:
        await ended(loading)
    for note, schedule_id in schedules.items():
        await world.load.remove_schedule(note, schedule_id)
    return nemesis


async def _calm(world: World, say: Say) -> list[str]:
    """Let every job end; returns what is not as it should be in a system that has come to rest."""
    say(f"waiting for the end of {world.load.submitted - world.load.ended} jobs")
    await world.load.settle(world.options.patience_seconds)
    problems = []
    for service in world.fleet.workers:
        status, body = await asyncio.to_thread(service.health, "live")
        if status != HEALTHY:
            problems.append(f"{service.name} does not call itself live: {body}")
    ends = time.monotonic() + QUEUE_PATIENCE_SECONDS
    while any((depths := await world.queue_depths()).values()):
        if time.monotonic() > ends:
            problems.append(f"messages are left in the queues: {depths}")
            break
        await asyncio.sleep(0.5)
    return [*problems, *await asyncio.to_thread(leaks.unnamed_artifacts, world.folder, world.store)]


def _noting(world: World) -> Callable[[Service, int], None]:
    def note(service: Service, status: int) -> None:
        at, said = world.journal.now(), service.last_words()
        world.journal.note(ServiceEnded(name=service.name, at=at, status=status, said=said))

    return note


def _badly_ended(statuses: dict[str, int | None]) -> list[str]:
    return [f"{name} ended with status {status} after SIGTERM" for name, status in statuses.items() if status != 0]


def _logged(folder: Path, words: str) -> int:
    return sum(len(re.findall(words, log.read_text(errors="replace"))) for log in (folder / "logs").iterdir())


def _setting(options: Options, servers: Servers) -> str:
    return (
        f"2 APIs, {options.workers} workers a queue, {options.rate:g} jobs a second, "
        f"lease {options.lease_seconds:g} s, {servers}"
    )


def run_until_done(options: Options, folder: Path, servers: Servers, say: Say) -> Outcome:
    """Run in an event loop of its own; SIGTERM ends it as Ctrl-C does, everything undone."""

    async def interruptible() -> Outcome:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await run(options, folder, servers, say)

    try:
        return asyncio.run(interruptible())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
