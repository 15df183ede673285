"""What a job may have changed about the child that it ran in: set right where that can be, told of where it cannot."""

import os
import resource
import signal
import sys
import threading

_SIGNALS = [number for number in signal.valid_signals() if number not in (signal.SIGKILL, signal.SIGSTOP)]
_TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
#: `RLIMIT_DATA` is each job's own, set before it begins.
_LIMITS = [
    getattr(resource, name)
    for name in dir(resource)
    if name.startswith("RLIMIT_") and name not in ("RLIMIT_DATA", "RLIMIT_OFILE")
]
_STANDARD_DESCRIPTORS = (0, 1, 2)


class Pristine:
    """The state of this process before its first job, which each further one shall find again."""

    def __init__(self) -> None:
        self._environment = dict(os.environ)
        self._streams = (sys.stdin, sys.stdout, sys.stderr)
        self._umask = _umask()
        self._fixed = _fixed()

    def restore(self) -> bool:
        """Set right what can be; returns whether all is as it was, so that another job may run here."""
        os.chdir("/")
        os.umask(self._umask)
        if os.environ != self._environment:
            os.environ.clear()
            os.environ.update(self._environment)
        sys.stdin, sys.stdout, sys.stderr = self._streams
        open_still = not any(stream is not None and stream.closed for stream in self._streams)
        return open_still and _is_alone() and _fixed() == self._fixed


def _fixed() -> object:
    """Return what is not set right again: a child in which a job has changed any of it runs no other."""
    return (
        [signal.getsignal(number) for number in _SIGNALS],
        [signal.getitimer(timer) for timer in _TIMERS],
        [resource.getrlimit(limit) for limit in _LIMITS],
        os.getpriority(os.PRIO_PROCESS, 0),
        [_identity(descriptor) for descriptor in _STANDARD_DESCRIPTORS],
        threading.active_count(),
    )


def _is_alone() -> bool:
    """Whether there is no process below this one, at any depth: the kernel gives it those that lose their parents."""
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return True
    return False


def _identity(descriptor: int) -> tuple[int, int] | None:
    try:
        found = os.fstat(descriptor)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
