"""Watches the machine itself: where it stands still, leases run out though nothing of ours is broken."""

import asyncio
import time
from contextlib import suppress

from sqlalchemy.exc import SQLAlchemyError

from chaos.history import Slowed
from chaos.world import World

BEAT_SECONDS = 0.1
#: A moment's work that takes this share of a lease is worth a note.
WORTH_NOTING = 0.1


async def watch_machine(world: World) -> None:
    """Note, for ever, when a moment's sleep or the simplest of statements takes far longer than it should."""
    await asyncio.gather(_watch_sleep(world), asyncio.to_thread(_watch_store, world))


async def _watch_sleep(world: World) -> None:
    while True:
        began = world.journal.now()
        await asyncio.sleep(BEAT_SECONDS)
        _note(world, began, world.journal.now() - began - BEAT_SECONDS)


def _watch_store(world: World) -> None:
    while not world.resting.is_set():
        began = world.journal.now()
        with suppress(SQLAlchemyError):  # a fault's doing
            world.store.ping()
            _note(world, began, world.journal.now() - began)
        time.sleep(BEAT_SECONDS)


def _note(world: World, began: float, seconds: float) -> None:
    if seconds > WORTH_NOTING * world.options.lease_seconds:
        world.journal.note(Slowed(at=began, seconds=seconds))
