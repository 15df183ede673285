"""Starts child processes, keeps them warm while they behave, and ends them with all they started."""

import contextlib
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import psutil

from offload_worker.runners import frames

#: How much of a child's output is kept, to tell why it crashed.
OUTPUT_TAIL_BYTES = 8192
MEGABYTE = 1024 * 1024

#: What of the worker's environment a child gets: never a URL with a password.
PASSED_ON = ("PATH", "LANG", "LC_ALL", "TZ", "PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
THREAD_COUNTS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class ChildGone(Exception):  # noqa: N818
    """The child has ended or broke the protocol; the message says how."""


class Child:
    """One child process, the leader of a session of its own, and the socket and pipe to it."""

    def __init__(self, modules: Sequence[str], *, threads: int, nice: int) -> None:
        self._connection, theirs = socket.socketpair()
        with theirs:
            arguments = [str(theirs.fileno()), str(os.getpid()), str(nice), *modules]
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-P", "-m", "offload_worker.runners.child", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=[theirs.fileno()],
                env=_environment(threads),
                start_new_session=True,
            )
        self.pid = self._process.pid
        self.jobs = 0
        self._frames = frames.FrameBuffer()
        self._output: deque[bytes] = deque(maxlen=OUTPUT_TAIL_BYTES // 64)
        self._selector = selectors.DefaultSelector()
        assert self._process.stdout is not None  # noqa: S101 - asked for above
        self._selector.register(self._connection, selectors.EVENT_READ)
        self._selector.register(self._process.stdout, selectors.EVENT_READ)
        self._kill_lock = threading.Lock()

    def begin(self, run: frames.Run) -> None:
        """Give the child its next attempt; raises `ChildGone`."""
        self._output.clear()
        self.send(run)

    def send(self, frame: frames.ToChild) -> None:
        """Send a frame; raises `ChildGone`."""
        try:
            frames.send(self._connection, frame)
        except OSError:
            raise ChildGone(self.how_it_ended()) from None

    def receive(self) -> frames.FromChild:
        """Wait for the child's next frame; raises `ChildGone`."""
        while True:
            try:
                frame = self._frames.next()
            except frames.BrokenFrame as error:
                self.kill()
                raise ChildGone(f"its process broke the protocol: {error}") from None
            if frame is None:
                self._read()
            elif not isinstance(frame, frames.Ready):
                return frame

    def _read(self) -> None:
        for key, _ in self._selector.select():
            chunk = self._chunk(key.fd)
            if key.fileobj is not self._connection:
                self._output.append(chunk)
                if not chunk:
                    self._selector.unregister(key.fileobj)
            elif chunk:
                self._frames.feed(chunk)
            else:
                raise ChildGone(self.how_it_ended())

    @staticmethod
    def _chunk(descriptor: int) -> bytes:
        try:
            return os.read(descriptor, 65536)[-65536:]
        except OSError:
            return b""

    def how_it_ended(self) -> str:
        """Return how the child ended, by its signal or exit code, and the end of what it printed."""
        self.kill()
        code = self._process.returncode
        cause = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        printed = self.output()
        return f"its process ended with {cause}" + (f"; it had printed: {printed[-1000:]}" if printed else "")

    def output(self) -> str:
        """Return the end of what the child has printed in its present attempt."""
        return b"".join(self._output)[-OUTPUT_TAIL_BYTES:].decode("utf-8", "replace").strip()

    def memory_mb(self) -> float | None:
        """Return the resident memory of the child and all it started, or None when it is gone."""
        try:
            return sum(_resident(each) for each in self._family()) / MEGABYTE
        except psutil.NoSuchProcess:
            return None

    def _family(self) -> list[psutil.Process]:
        leader = psutil.Process(self.pid)
        return [leader, *leader.children(recursive=True)]

    def is_alone(self) -> bool:
        """Whether the child lives and has left no process behind."""
        with contextlib.suppress(psutil.NoSuchProcess, ChildProcessError):
            # Looked at without reaping: while it is not reaped, `kill` can still reach all that is left of its group.
            ended = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            return ended is None and len(self._family()) == 1
        return False

    def kill(self) -> None:
        """End the child and everything it started, now and for good; safe to call from any thread, and again."""
        with self._kill_lock:
            if self._process.returncode is not None:
                return
            with contextlib.suppress(psutil.NoSuchProcess):
                # The child before what it started: one that saw its own child die could still end as if all were well.
                for each in self._family():
                    with contextlib.suppress(psutil.NoSuchProcess):
                        each.kill()
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()

    def close(self) -> None:
        """End the child and free its descriptors."""
        self.kill()
        self._selector.close()
        self._connection.close()
        if self._process.stdout:
            self._process.stdout.close()


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def _environment(threads: int) -> dict[str, str]:
    passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return passed | dict.fromkeys(THREAD_COUNTS, str(threads)) | {"HOME": "/nonexistent", "MPLCONFIGDIR": "/tmp"}  # noqa: S108


class Nursery:
    """Keeps children warm: started ahead, used again while they behave, replaced when they do not."""

    def __init__(self, modules: Sequence[str], *, threads: int, nice: int, most_jobs: int) -> None:
        self._modules = modules
        self._threads = threads
        self._nice = nice
        self._most_jobs = most_jobs
        self._idle: deque[Child] = deque()
        # A child dies with the thread that started it, so one thread that outlives all jobs starts them all.
        self._launcher = ThreadPoolExecutor(max_workers=1, thread_name_prefix="launcher")
        self._closed = False

    def warm(self, count: int) -> None:
        """Start children ahead, in the background."""
        for _ in range(count):
            self._launcher.submit(self._add)

    def take(self) -> Child:
        """Return an idle child, or a new one; raises `OSError` when none can be started."""
        while True:
            try:
                child = self._idle.pop()  # the one used last: its memory is warmest
            except IndexError:
                return self._launcher.submit(self._start).result()
            if child.is_alone():
                return child
            child.close()

    def give_back(self, child: Child) -> None:
        """Keep a child that ran its job well, unless it is worn; a worn one is replaced."""
        child.jobs += 1
        if child.jobs < self._most_jobs and child.is_alone() and not self._closed:
            self._idle.append(child)
        else:
            self.replace(child)

    def replace(self, child: Child) -> None:
        """End a child and start another in its stead."""
        child.close()
        if not self._closed:
            self.warm(1)

    def _start(self) -> Child:
        return Child(self._modules, threads=self._threads, nice=self._nice)

    def _add(self) -> None:
        if not self._closed:
            self._idle.append(self._start())

    def close(self) -> None:
        """End all idle children."""
        self._closed = True
        self._launcher.shutdown()
        while self._idle:
            self._idle.pop().close()
