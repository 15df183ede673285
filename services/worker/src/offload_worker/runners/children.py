"""Starts child processes, keeps them warm while they behave, and ends them with all they started."""

import contextlib
import itertools
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

from offload_worker.output import OutputBuffer
from offload_worker.runners import family, frames

#: Of what a crashed child printed, so much is told.
OUTPUT_TAIL_BYTES = 1000
#: What a child may have written into its pipe and nobody has read yet; Linux gives a pipe 16 times less.
MOST_LEFT_OVER_BYTES = 1024 * 1024
READ_BYTES = 65536
#: After each full read of a child's output: one that prints without end must not keep the worker busy with it.
OUTPUT_PAUSE_SECONDS = 0.005

THREAD_COUNTS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class ChildGone(Exception):  # noqa: N818
    """The child has ended or broke the protocol; the message says how."""


class Child:
    """One child process, the leader of a session of its own, and the socket and pipe to it."""

    def __init__(self, modules: Sequence[str], *, threads: int, nice: int, mark: str, folder: Path) -> None:
        self._mark = mark
        self._connection, theirs = socket.socketpair()
        with theirs:
            arguments = [str(theirs.fileno()), str(os.getpid()), str(nice), *modules]
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-P", "-m", "offload_worker.runners.child", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=[theirs.fileno()],
                env=_environment(threads, mark, folder),
                start_new_session=True,
            )
        self.pid = self._process.pid
        self.jobs = 0
        self.ready = False  # its imports are done: what goes wrong from now on is its job's doing
        self._frames = frames.FrameBuffer()
        self._output = OutputBuffer()
        self._at_birth: family.Use | None = None
        self._at_begin = family.Use(0.0, 0.0)
        self._at_end: family.Use | None = None
        self._kill_lock = threading.Lock()
        assert self._process.stdout is not None  # noqa: S101 - asked for above
        self._stdout = self._process.stdout
        os.set_blocking(self._stdout.fileno(), False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._connection, selectors.EVENT_READ)
        self._selector.register(self._stdout, selectors.EVENT_READ)
        # What the child started may hold its ends of socket and pipe open: only this tells of its own end.
        self._ended = os.pidfd_open(self.pid) if hasattr(os, "pidfd_open") else None
        if self._ended is not None:
            self._selector.register(self._ended, selectors.EVENT_READ)

    def begin(self, run: frames.Run, output: OutputBuffer) -> None:
        """Give the child its next attempt, whose output goes to `output`; raises `ChildGone`."""
        self.read_output()  # what came after the end of the last attempt is nobody's
        while not self.ready:
            self.receive()
        self._output = output
        self._at_begin = self._used_alone()
        self._at_birth = self._at_birth or self._at_begin
        self.send(run)

    def send(self, frame: frames.ToChild) -> None:
        """Send a frame; raises `ChildGone`."""
        try:
            frames.send(self._connection, frame)
        except OSError:
            raise ChildGone(self._how_it_ended()) from None

    def receive(self) -> frames.FromChild:
        """Wait for the child's next frame; raises `ChildGone`."""
        while True:
            try:
                frame = self._frames.next()
            except frames.BrokenFrame as error:
                self.kill()
                raise ChildGone(f"its process broke the protocol: {error}") from None
            if frame is not None:
                self.ready = True
                return frame
            self._read()

    def _read(self) -> None:
        ready = {key.fileobj for key, _ in self._selector.select()}
        if self._stdout in ready:
            self._read_output()
        if self._connection in ready:
            chunk = _chunk(self._connection.fileno())
            if not chunk:
                raise ChildGone(self._how_it_ended())
            self._frames.feed(chunk)
        elif self._ended in ready:
            raise ChildGone(self._how_it_ended())

    def _read_output(self) -> None:
        chunk = _chunk(self._stdout.fileno())
        self._output.add(chunk)
        if not chunk:
            self._selector.unregister(self._stdout)
        elif len(chunk) == READ_BYTES:
            time.sleep(OUTPUT_PAUSE_SECONDS)

    def read_output(self) -> None:
        """Read what the child has printed up to now, without waiting for more."""
        for _ in range(MOST_LEFT_OVER_BYTES // READ_BYTES):
            chunk = _chunk(self._stdout.fileno())
            self._output.add(chunk)
            if len(chunk) < READ_BYTES:
                break

    def _how_it_ended(self) -> str:
        """Return how the child ended, by its signal or exit code, and the end of what it printed."""
        self._at_end = self.use()  # of one that has ended by itself the kernel still knows the processor time
        self.kill()
        code = self._process.wait()
        self.read_output()
        cause = f"signal {_signal_name(-code)}" if code < 0 else f"exit code {code}"
        printed = self._output.tail(OUTPUT_TAIL_BYTES)
        return f"its process ended with {cause}" + (f"; it had printed: {printed}" if printed else "")

    def use(self) -> family.Use | None:
        """Return what the child uses with all it started, its processor time since its attempt began; None once gone.

        What a job uses is counted with what its child needs by itself: the interpreter and the imports.
        """
        if self._at_end:
            return self._at_end
        used = family.use(self.pid)
        return used and family.Use(used.memory_mb, max(0.0, used.cpu_seconds - self._at_begin.cpu_seconds))

    def grown_mb(self) -> float:
        """Return how much more memory the child holds than when it was given its first attempt."""
        return self._used_alone().memory_mb - self._at_birth.memory_mb if self._at_birth else 0.0

    def _used_alone(self) -> family.Use:
        try:
            return family.use_alone(self.pid)
        except psutil.NoSuchProcess:
            return family.Use(0.0, 0.0)  # the next frame to or from it will tell

    def is_alone(self) -> bool:
        """Whether the child lives and has left no process behind."""
        return self._process.poll() is None and not family.descendants(self.pid)

    def kill(self) -> None:
        """End the child and everything it started, now and for good; safe to call from any thread, and again."""
        with self._kill_lock:
            if self._process.poll() is None:
                # Stopped first: it could start more, or see its own children die and still end as if all were well.
                self._process.send_signal(signal.SIGSTOP)
                family.kill_descendants(self.pid)
                self._process.kill()
            else:
                family.kill_marked(self._mark)  # it ended by itself; what it had started has no parent now

    def close(self) -> None:
        """End the child and free its descriptors."""
        self.kill()
        self._process.wait()
        self._selector.close()
        self._connection.close()
        self._stdout.close()
        if self._ended is not None:
            os.close(self._ended)


def _chunk(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, READ_BYTES)
    except OSError:
        return b""


def _signal_name(number: int) -> str:
    with contextlib.suppress(ValueError):  # real-time signals have no names
        return signal.Signals(number).name
    return str(number)


def _environment(threads: int, mark: str, folder: Path) -> dict[str, str]:
    own = {family.MARK: mark, "HOME": "/nonexistent", "MPLCONFIGDIR": str(folder)}
    return family.environment() | dict.fromkeys(THREAD_COUNTS, str(threads)) | own


class Nursery:
    """Keeps children warm: started ahead, used again while they behave, replaced when they do not.

    Worn are those that ran `most_jobs`, or hold `most_growth_mb` more memory than they began with. `mark` tells the
    processes of this worker from any others; `folder` is the worker's own, for what libraries keep between jobs.
    """

    def __init__(
        self,
        modules: Sequence[str],
        *,
        threads: int,
        nice: int,
        most_jobs: int,
        most_growth_mb: float,
        mark: str,
        folder: Path,
    ) -> None:
        self._modules = modules
        self._threads = threads
        self._nice = nice
        self._most_jobs = most_jobs
        self._most_growth_mb = most_growth_mb
        self._folder = folder
        self._marks = (f"{mark}.{number}." for number in itertools.count())
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
                child = self._launcher.submit(self._next).result()
            if child.is_alone():
                return child
            child.close()

    def give_back(self, child: Child) -> None:
        """Keep a child that ran its job well, unless it is worn; a worn one is replaced."""
        child.jobs += 1
        worn = child.jobs >= self._most_jobs or child.grown_mb() > self._most_growth_mb
        if worn or self._closed or not child.is_alone():
            self.replace(child)
        else:
            self._idle.append(child)

    def replace(self, child: Child) -> None:
        """End a child and start another in its stead."""
        child.close()
        if not self._closed:
            self.warm(1)

    def _next(self) -> Child:
        # On the launcher's thread, behind the children that are being started already: there are never more than slots.
        try:
            return self._idle.pop()
        except IndexError:
            return self._start()

    def _start(self) -> Child:
        mark = next(self._marks)
        return Child(self._modules, threads=self._threads, nice=self._nice, mark=mark, folder=self._folder)

    def _add(self) -> None:
        if not self._closed:
            self._idle.append(self._start())

    def close(self) -> None:
        """End all idle children."""
        self._closed = True
        self._launcher.shutdown()
        while self._idle:
            self._idle.pop().close()
