"""The memory there is for a worker: its container's, or the whole machine's."""

import os
from pathlib import Path

import psutil

from offload_worker.runners.family import MEGABYTE

_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def memory_mb() -> int:
    """Return the megabytes that the worker and its children may use together before the kernel kills one of them."""
    return min(_limit_bytes(path) for path in _LIMITS) // MEGABYTE


def own_memory_mb() -> float:
    """Return the megabytes that this process uses."""
    return float(psutil.Process(os.getpid()).memory_info().rss) / MEGABYTE


def _limit_bytes(path: Path) -> int:
    total = int(psutil.virtual_memory().total)
    try:
        return min(total, int(path.read_text()))
    except (OSError, ValueError):  # no such kind of control group, or "max"
        return total
