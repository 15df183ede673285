"""The memory there is for a worker: its container's, or the whole machine's."""

import os
from contextlib import suppress
from functools import cache
from pathlib import Path

import psutil

from offload_worker.runners.family import MEGABYTE

#: Where control groups are found, of the second version and of the first.
ROOTS = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/memory"))
OWN_GROUPS = Path("/proc/self/cgroup")


def memory_mb() -> int:
    """Return the megabytes that the worker and its children may use together before the kernel kills one of them."""
    limits = [int(psutil.virtual_memory().total)]
    for group in _groups(OWN_GROUPS, ROOTS):
        for name in ("memory.max", "memory.limit_in_bytes"):
            with suppress(OSError, ValueError):  # not of this version, or "max"
                limits.append(int((group / name).read_text()))
    return min(limits) // MEGABYTE


def memory_kills() -> int:
    """Return how many processes of this container the kernel has killed for want of memory; 0 where it does not say."""
    for group in _groups(OWN_GROUPS, ROOTS):
        for name in ("memory.events", "memory.oom_control"):
            with suppress(OSError):
                for line in (group / name).read_text().splitlines():
                    if line.startswith("oom_kill "):
                        return int(line.split()[1])
    return 0


def own_memory_mb() -> float:
    """Return the megabytes that this process uses."""
    return float(psutil.Process(os.getpid()).memory_info().rss) / MEGABYTE


@cache
def _groups(own: Path, roots: tuple[Path, ...]) -> list[Path]:
    # From its own group outwards: each limits what is inside. In a container its own is usually shown as the root.
    # Found once: they are asked for with each attempt in a process.
    paths = {"/"}
    with suppress(OSError):
        for line in own.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers in ("", "memory"):
                paths |= {path, *map(str, Path(path).parents)}
    outwards = sorted(paths, key=len, reverse=True)
    return [group for path in outwards for root in roots if (group := root / path.lstrip("/")).is_dir()]
