"""Process trees: what a child has started, what it all uses, and how nothing of it is left running."""

import contextlib
import os
import time
from collections.abc import Callable
from typing import NamedTuple

import psutil

MEGABYTE = 1024 * 1024

#: The environment variable that children and all they start inherit; its value begins with their worker's mark.
MARK = "OFFLOAD_MARK"

#: What of the worker's environment they get: never a URL with a password.
PASSED_ON = ("PATH", "LANG", "LC_ALL", "TZ", "PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH")

#: A killed process is gone at once, unless the kernel itself is stuck with it.
LONGEST_END_SECONDS = 5.0
_PAUSE_SECONDS = 0.001


class Use(NamedTuple):
    """What a process uses, with all it has started."""

    memory_mb: float  # resident
    cpu_seconds: float  # since it began, also of what it started and has ended


def environment() -> dict[str, str]:
    """Return what every process that the worker starts has in its environment."""
    return {name: os.environ[name] for name in PASSED_ON if name in os.environ}


def descendants(pid: int) -> list[psutil.Process]:
    """Return what a process has started and is there still, also what has ended and was not waited for.

    What lost its parent counts as started by the nearest subreaper above, which every child of ours is.
    """
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).children(recursive=True)
    return []


def use(pid: int) -> Use | None:
    """Return what a process uses now with all it has started, or None when it is gone."""
    try:
        own = use_alone(pid)
    except psutil.NoSuchProcess:
        return None
    memory_mb, cpu_seconds = own
    for each in descendants(pid):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            used = use_alone(each.pid)
            memory_mb += used.memory_mb
            cpu_seconds += used.cpu_seconds
    return Use(memory_mb, cpu_seconds)


def use_alone(pid: int) -> Use:
    """Return what a process uses without its living descendants; raises `psutil.NoSuchProcess`."""
    process = psutil.Process(pid)
    with process.oneshot():
        memory_mb = process.memory_info().rss / MEGABYTE
        times = process.cpu_times()
    return Use(memory_mb, times.user + times.system + times.children_user + times.children_system)


def kill_descendants(pid: int) -> None:
    """Kill all that a process has started. Unless it is stopped it may start more meanwhile."""
    _kill_until_none(lambda: descendants(pid))


def kill_marked(mark: str) -> None:
    """Kill every process whose mark begins so, wherever it went in the tree of processes."""

    def marked() -> list[psutil.Process]:
        return [each for each in psutil.process_iter() if _mark_of(each).startswith(mark)]

    _kill_until_none(marked)


def _mark_of(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error, OSError):
        return process.environ().get(MARK, "")
    return ""  # ended meanwhile, or another user's


def _kill_until_none(find: Callable[[], list[psutil.Process]]) -> None:
    ends = time.monotonic() + LONGEST_END_SECONDS
    while (living := [each for each in find() if _lives(each)]) and time.monotonic() < ends:
        for each in living:
            with contextlib.suppress(psutil.Error):
                each.kill()
        time.sleep(_PAUSE_SECONDS)


def _lives(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    return False
