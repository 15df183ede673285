"""Process trees: what a child has started, what it all uses, and how nothing of it is left running."""

import contextlib
import logging
import os
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import psutil

MEGABYTE = 1024 * 1024

#: The environment variable that children and all they start inherit; its value begins with their worker's mark.
MARK = "OFFLOAD_MARK"
_MARK_IS = f"{MARK}=".encode()

#: What of the worker's environment they get: never a URL with a password.
PASSED_ON = ("PATH", "LANG", "LC_ALL", "TZ", "PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH")

#: A killed process is gone at once, unless the kernel itself is stuck with it, or it forks faster than we look.
LONGEST_END_SECONDS = 5.0
_PAUSE_SECONDS = 0.001
_EMPTY_LOOKS = 2  # one may have come between the death of a parent and the sight of its child

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / MEGABYTE

_log = logging.getLogger(__name__)


def environment() -> dict[str, str]:
    """Return what every process that the worker starts has in its environment."""
    return {name: os.environ[name] for name in PASSED_ON if name in os.environ}


class Process(NamedTuple):
    """A process at one moment; a zombie has ended, but nobody has asked how."""

    pid: int
    parent: int
    group: int
    session: int
    zombie: bool
    cpu_seconds: float  # also of the children it has waited for
    memory_mb: float  # resident
    started: int  # ticks since the machine's start: what a process has started is not older than itself


class Use(NamedTuple):
    """What a process uses, with all it has started."""

    memory_mb: float
    cpu_seconds: float


class Snapshot:
    """All processes of the machine at one moment: one look serves for every child."""

    def __init__(self, processes: Iterable[Process]) -> None:
        self.processes = {each.pid: each for each in processes}
        self._children: dict[int, list[Process]] = defaultdict(list)
        for each in self.processes.values():
            self._children[each.parent].append(each)

    def below(self, pid: int) -> list[Process]:
        """Return what a process has started and is there still, zombies too, at any depth.

        What lost its parent counts as started by the nearest subreaper above, which every child of ours is.
        """
        found = list(self._children.get(pid, ()))
        for each in found:
            found.extend(self._children.get(each.pid, ()))
        return found

    def use(self, pid: int) -> Use | None:
        """Return what a process uses with all below it, or None when it is gone."""
        if pid not in self.processes:
            return None
        family = [self.processes[pid], *self.below(pid)]
        return Use(sum(each.memory_mb for each in family), sum(each.cpu_seconds for each in family))


def snapshot() -> Snapshot:
    """Look at all processes."""
    return Snapshot(_linux() if sys.platform == "linux" else _anywhere())


def alone(pid: int) -> Snapshot:
    """Look at one process that is known to have started no other."""
    found = process(pid)
    return Snapshot([found] if found else [])


def process(pid: int) -> Process | None:
    """Look at one process; None when it is gone."""
    if sys.platform == "linux":
        return _read(f"/proc/{pid}/stat")
    return snapshot().processes.get(pid)


def _linux() -> Iterator[Process]:
    # psutil reads the same files, but for each question anew: ten times a second that is felt.
    for name in os.listdir("/proc"):  # noqa: PTH208 - names are all that is wanted
        if name.isdecimal() and (found := _read(f"/proc/{name}/stat")):
            yield found


def _read(path: str) -> Process | None:
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - a Path would cost more than the kernel does
            content = file.read()
    except OSError:  # ended meanwhile
        return None
    pid = int(content[: content.index(b" ")])
    # The name, in brackets, may hold anything. What follows is described in proc_pid_stat(5), from its third field on.
    fields = content[content.rindex(b")") + 2 :].split()
    return Process(
        pid=pid,
        parent=int(fields[1]),
        group=int(fields[2]),
        session=int(fields[3]),
        zombie=fields[0] in b"ZX",
        cpu_seconds=sum(map(int, fields[11:15])) / _TICKS,
        memory_mb=int(fields[21]) * _PAGE_MB,
        started=int(fields[19]),
    )


def _anywhere() -> Iterator[Process]:
    for each in psutil.process_iter(["ppid", "status", "memory_info", "cpu_times", "create_time"]):
        with contextlib.suppress(OSError):
            memory, times = each.info["memory_info"], each.info["cpu_times"]
            yield Process(
                pid=each.pid,
                parent=each.info["ppid"],
                group=os.getpgid(each.pid),
                session=os.getsid(each.pid),
                zombie=each.info["status"] == psutil.STATUS_ZOMBIE,
                cpu_seconds=sum(times) if times else 0.0,
                memory_mb=memory.rss / MEGABYTE if memory else 0.0,
                started=int((each.info["create_time"] - psutil.boot_time()) * _TICKS),
            )


def kill_tree(leader: int, seen: Snapshot) -> None:
    """Kill the leader of a session with all below it, `seen` after it was stopped: so it starts nothing meanwhile."""
    _kill([each for each in seen.below(leader) if each.group != leader])
    # Its own group goes last and at one blow: a process that forks meanwhile takes its copy along.
    _kill_group(leader)


def kill_left(leader: int, mark: str, *, was_alone: bool) -> None:
    """Kill what an ended leader has left: its session, and all that bears its mark.

    It must not have been waited for yet: then its number, and with it the session's, could be another's. One that
    `was_alone` when it had been stopped left nothing that could hide between two looks.
    """
    began = process(leader)

    def left() -> list[Process]:
        # To read what a process has in its environment costs more than all else: of most there is no need to.
        younger = [each for each in snapshot().processes.values() if not began or each.started >= began.started]
        return [each for each in younger if each.session == leader or _mark_of(each.pid).startswith(mark)]

    _kill_group(leader)
    _kill_until_none(left, looks=1 if was_alone else _EMPTY_LOOKS)


def kill_marked(mark: str) -> None:
    """Kill every process whose mark begins so, wherever it is in the tree of processes."""
    _kill_until_none(lambda: [each for each in snapshot().processes.values() if _mark_of(each.pid).startswith(mark)])


def _mark_of(pid: int) -> str:
    with contextlib.suppress(psutil.Error, OSError):
        if sys.platform != "linux":
            return psutil.Process(pid).environ().get(MARK, "")
        with open(f"/proc/{pid}/environ", "rb", buffering=0) as file:  # noqa: PTH123 - as above
            for variable in file.read().split(b"\0"):
                if variable.startswith(_MARK_IS):
                    return variable.removeprefix(_MARK_IS).decode("ascii", "replace")
    return ""  # ended meanwhile, or another user's


def _kill_until_none(find: Callable[[], list[Process]], looks: int = _EMPTY_LOOKS) -> None:
    ends, empty, living = time.monotonic() + LONGEST_END_SECONDS, 0, list[Process]()
    while time.monotonic() < ends:
        living = [each for each in find() if not each.zombie]
        if living:
            empty, looks = 0, _EMPTY_LOOKS
        elif (empty := empty + 1) >= looks:
            return
        _kill(living)
        time.sleep(_PAUSE_SECONDS)
    if living:
        _log.error("processes that do not end are left behind: %s", ", ".join(str(each.pid) for each in living))


def _kill(processes: list[Process]) -> None:
    for group in {each.group for each in processes}:
        _kill_group(group)
    for each in processes:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(each.pid, signal.SIGKILL)


def _kill_group(group: int) -> None:
    if group > 1 and group != os.getpgid(0):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
