"""Injects faults, one after another as the seed has it, and measures how long each takes to be recovered from."""

import asyncio
from collections.abc import Callable, Iterator
from random import Random

from chaos.faults import FAULTS, FaultKind
from chaos.history import FaultBegan, FaultHolds, FaultUndone, Recovered
from chaos.kinds import RECOVERY_ECHO, RECOVERY_PROCESS, Kind
from chaos.plan import extra
from chaos.world import World

RECOVERY_PATIENCE_SECONDS = 120.0
RETRY_SECONDS = 0.1


class Nemesis:
    """The one that breaks things."""

    def __init__(self, world: World, say: Callable[[str], object]) -> None:
        self._world = world
        self._say = say
        self._random = Random(f"faults of {world.options.seed}")
        self._number = 0
        self.left_out = dict(self._refusals())
        self._kinds = self._in_turn()

    async def run(self) -> None:
        """Break things until the time of the load is over; each fault is undone by then."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + self._world.options.seconds
        await asyncio.sleep(min(3.0, self._world.options.seconds / 10))
        while loop.time() < ends - self._world.options.lease_seconds / 2:
            kinds = [next(self._kinds)]
            if self._random.random() < self._world.options.overlap:
                another = next(self._kinds)
                kinds += [another] if another.hits != kinds[0].hits else []
            await asyncio.gather(*(self.inflict(kind) for kind in kinds))
            await asyncio.sleep(self._random.uniform(0.5, 2.5))

    async def inflict(self, kind: FaultKind) -> None:
        """Inject one fault, keep it for a while, undo it, and wait until all works again."""
        self._number += 1
        number, journal = self._number, self._world.journal
        held = self._held_seconds(kind)
        journal.note(FaultBegan(number=number, name=kind.name, at=journal.now()))
        try:
            async with kind.inject(self._world, Random(self._random.getrandbits(64))) as broken:
                journal.note(
                    FaultHolds(
                        number=number,
                        at=journal.now(),
                        target=broken.target,
                        orphans=broken.orphans,
                        waiting=broken.waiting,
                    )
                )
                self._say(f"{kind.name}: {broken.target}, for {held:.1f} s")
                await asyncio.sleep(held)
                journal.note(FaultUndone(number=number, at=journal.now(), healed=False))
        finally:
            journal.note(FaultUndone(number=number, at=journal.now(), healed=True))
        await self._recovered(number, kind.name)

    def _held_seconds(self, kind: FaultKind) -> float:
        options, own = self._world.options, self._random.uniform(*kind.seconds)
        if options.hold_seconds is not None:
            return options.hold_seconds
        return own * options.lease_seconds if kind.in_leases else own

    async def _recovered(self, number: int, name: str) -> None:
        began = self._world.journal.now()
        kinds = (RECOVERY_ECHO, RECOVERY_PROCESS)
        seconds = await asyncio.gather(*(self._again(kind, f"recovery-{number}-{kind.task}", began) for kind in kinds))
        accepted = max(accepted for accepted, _ in seconds)
        ends = [ended for _, ended in seconds if ended is not None]
        ended = max(ends) if len(ends) == len(kinds) else None
        self._world.journal.note(Recovered(number=number, accepted_seconds=accepted, ended_seconds=ended))
        shown = f"{ended:.1f} s" if ended is not None else f"not within {RECOVERY_PATIENCE_SECONDS:g} s"
        self._say(f"{name}: accepts again after {accepted:.1f} s, fresh jobs end after {shown}")

    async def _again(self, kind: Kind, note: str, began: float) -> tuple[float, float | None]:
        """Return after how many seconds each API has answered 202, and the job had ended."""
        load, clock = self._world.load, self._world.journal.now
        job = extra(kind, note)
        life = load.begin(job)
        await asyncio.sleep(0)  # it notes its plan first
        body = job.body(0)
        for api in range(len(self._world.fleet.apis)):
            while (await load.submit(job, body, api)).status != 202 and clock() < began + RECOVERY_PATIENCE_SECONDS:
                await asyncio.sleep(RETRY_SECONDS)
        accepted = clock() - began
        await asyncio.wait([life], timeout=RECOVERY_PATIENCE_SECONDS)
        return accepted, clock() - began if life.done() else None

    def _in_turn(self) -> Iterator[FaultKind]:
        # Every kind once before any comes again: short runs see as many kinds as fit.
        only = self._world.options.only
        wanted = [kind for kind in FAULTS if kind.name not in self.left_out and (not only or kind.name in only)]
        while True:
            yield from self._random.sample(wanted, len(wanted))

    def _refusals(self) -> Iterator[tuple[str, str]]:
        if self._world.disk.refusal:
            yield "full disk", self._world.disk.refusal


async def ended(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait until it has cleaned up; raises what it had failed with."""
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled() and (error := task.exception()):
        raise error
