"""What of the production modules is replaced while a seed runs: their clocks, waits and chance, and no more."""

import contextlib
import logging
import random
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest import mock

from offload_api import bodies, flows, reading, submissions
from offload_shared.store import leases
from offload_worker import executor, lease, running, slots, watchdog
from tests.simulation.runner import workspace_in
from tests.simulation.scheduler import Event

if TYPE_CHECKING:
    from tests.simulation.world import World


@contextlib.contextmanager
def simulated(world: "World") -> Iterator[None]:
    """Let the production code live in a world."""
    scheduler = world.scheduler
    time = SimpleNamespace(monotonic=lambda: scheduler.now, sleep=scheduler.sleep)
    replaced: list[tuple[Any, str, Any]] = [(module, "time", time) for module in (executor, lease, slots, watchdog)]
    replaced.append((running, "time", time))
    replaced.append((executor, "threading", SimpleNamespace(Event=lambda: Event(scheduler))))
    replaced.append((executor, "workspace", workspace_in(world)))
    loop = SimpleNamespace(time=lambda: scheduler.now)
    replaced.append((reading, "asyncio", SimpleNamespace(get_running_loop=lambda: loop)))
    bodies_come_at_once = SimpleNamespace(get_running_loop=lambda: loop, timeout=contextlib.nullcontext)
    replaced.append((bodies, "asyncio", bodies_come_at_once))
    replaced.extend((module, "new_id", world.new_id) for module in (submissions, flows))
    replaced.append((leases, "claim", _counted(leases.claim, world, "hint dropped")))
    replaced.append((leases, "finish", _counted(leases.finish, world, "stale end refused")))
    state, level = random.getstate(), logging.root.manager.disable
    random.seed(world.seed)  # the jitter of retries
    logging.disable(logging.CRITICAL)
    try:
        with contextlib.ExitStack() as stack:
            for module, name, value in replaced:
                stack.enter_context(mock.patch.object(module, name, value))
            yield
    finally:
        logging.disable(level)
        random.setstate(state)


def _counted(verb: Callable[..., Any], world: "World", none: str) -> Callable[..., Any]:
    def call(*arguments: Any, **keywords: Any) -> Any:
        answer = verb(*arguments, **keywords)
        if answer is None:
            world.count(none)
        return answer

    return call
