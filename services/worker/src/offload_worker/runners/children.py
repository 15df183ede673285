"""A child process as its worker sees it: what is said to it, what comes from it, and its end with all it started."""

import contextlib
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from offload_shared import failpoints
from offload_worker.output import OutputBuffer
from offload_worker.runners import family, frames

#: Of what a crashed child printed, so much is told.
OUTPUT_TAIL_BYTES = 1000
#: What a child may have written into its pipe and nobody has read yet; Linux gives a pipe 16 times less.
MOST_LEFT_OVER_BYTES = 1024 * 1024
READ_BYTES = 65536
#: After each full read of a child's output: one that prints without end must not keep the worker busy with it.
OUTPUT_PAUSE_SECONDS = 0.005
#: For a child to take a frame, which an honest one does at once.
SEND_SECONDS = 30.0
#: To have a session yield, while others have the turn.
SESSION_TRIES, SESSION_RETRY_SECONDS = 20, 0.01
#: For a child to do its imports.
STARTUP_SECONDS = 120.0
#: For a child that closed its connection to end by itself, which tells why.
LAST_SECONDS = 1.0

THREAD_COUNTS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class ChildGone(Exception):  # noqa: N818
    """The child has ended or broke the protocol; the message says how.

    `code` is its exit code, the negative number of a signal, when it ended by itself or was killed by others than us.
    """

    def __init__(self, how: str, code: int | None = None) -> None:
        super().__init__(how)
        self.code = code


class Child:
    """One child process, the leader of a session of its own, and the socket and pipe to it.

    Served by one thread at a time; `stop` and `use` may be called from any.
    """

    def __init__(self, modules: Sequence[str], *, threads: int, nice: int, mark: str, folder: Path) -> None:
        self._mark = mark
        self._connection, theirs = socket.socketpair()
        with theirs:
            arguments = [str(theirs.fileno()), str(os.getpid()), *modules]
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-P", "-m", "offload_worker.runners.child", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=[theirs.fileno()],
                env=_environment(threads, mark, folder),
                start_new_session=True,
            )
        _be_nice(self._process.pid, nice)
        self._connection.settimeout(SEND_SECONDS)
        self.pid = self._process.pid
        self.jobs = 0
        self.ready = False  # its imports are done: what goes wrong from now on is its job's doing
        self._frames = frames.FrameBuffer()
        self._output = OutputBuffer()
        self._first_memory_mb: float | None = None
        self._cpu_before: float | None = None  # the present attempt began
        self._used_at_end: family.Use | None = None
        self._lock = threading.Lock()
        self._stopped = self._reaped = False
        self._startup_ends = time.monotonic() + STARTUP_SECONDS
        assert self._process.stdout is not None  # noqa: S101 - asked for above
        self._stdout = self._process.stdout
        os.set_blocking(self._stdout.fileno(), False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._connection, selectors.EVENT_READ)
        self._selector.register(self._stdout, selectors.EVENT_READ)
        # What the child started may hold its ends of socket and pipe open: only this tells of its own end.
        self._ended = _pidfd(self.pid)
        if self._ended is not None:
            self._selector.register(self._ended, selectors.EVENT_READ)

    def await_ready(self) -> None:
        """Wait until the child has done its imports; raises `ChildGone`, also when they take too long."""
        while not self.ready:
            self.ready = isinstance(self.receive(until=self._startup_ends), frames.Ready)

    def begin(self, run: frames.Run, output: OutputBuffer) -> None:
        """Give the child its next attempt, whose output goes to `output`; raises `ChildGone`."""
        self.drain_output()  # what came since the last attempt is nobody's
        self._output = output
        now = family.process(self.pid)
        if now:
            self._first_memory_mb = self._first_memory_mb or now.memory_mb
            self._cpu_before = now.cpu_seconds
        self.send(run)

    def send(self, frame: frames.ToChild) -> None:
        """Send a frame; raises `ChildGone`."""
        try:
            frames.send(self._connection, frame)
        except TimeoutError:
            raise self.broken("it does not read what it is sent") from None
        except OSError:
            raise self._gone() from None

    def receive(self, until: float | None = None) -> frames.FromChild:
        """Wait for the child's next frame, at most until a moment of the monotonic clock; raises `ChildGone`."""
        while True:
            try:
                frame = self._frames.next()
            except frames.BrokenFrame as error:
                raise self.broken(str(error)) from None
            if frame is not None:
                return frame
            self._read(None if until is None else max(0.0, until - time.monotonic()))

    def _read(self, seconds: float | None) -> None:
        ready = {key.fileobj for key, _ in self._selector.select(seconds)}
        if not ready:
            raise self.broken("it is not ready for work in time")
        if self._stdout in ready:
            self._read_output()
        if self._connection in ready:
            chunk = _chunk(self._connection.fileno())
            if not chunk or self._stopped:
                raise self._gone()
            self._frames.feed(chunk)
        elif self._ended in ready:
            raise self._gone()

    def _read_output(self) -> None:
        chunk = _chunk(self._stdout.fileno())
        self._output.add(chunk)
        if not chunk:
            self._selector.unregister(self._stdout)
        elif len(chunk) == READ_BYTES:
            time.sleep(OUTPUT_PAUSE_SECONDS)

    def drain_output(self) -> None:
        """Read what the child has printed up to now, without waiting for more."""
        for _ in range(MOST_LEFT_OVER_BYTES // READ_BYTES):
            chunk = _chunk(self._stdout.fileno())
            self._output.add(chunk)
            if len(chunk) < READ_BYTES:
                break

    def broken(self, how: str) -> ChildGone:
        """End a child that broke the protocol; returns what to raise."""
        self._end()
        return ChildGone(f"its process broke the protocol: {how}")

    def _gone(self) -> ChildGone:
        """Return how the child ended, by its signal or exit code, and the end of what it printed."""
        by_itself = self._ends_within(0 if self._stopped else LAST_SECONDS)
        code = self._end()
        self.drain_output()
        cause = f"ended with {_cause(code)}" if by_itself else "closed its connection"
        printed = self._output.tail(OUTPUT_TAIL_BYTES)
        how = f"its process {cause}" + (f"; it had printed: {printed}" if printed else "")
        return ChildGone(how, code if by_itself else None)

    def _ends_within(self, seconds: float) -> bool:
        ends = time.monotonic() + seconds
        while not (ended := self._has_ended()) and time.monotonic() < ends:
            time.sleep(0.005)
        return ended

    def _has_ended(self) -> bool:
        if self._reaped or not hasattr(os, "waitid"):
            return self._process.poll() is not None
        # Looked at without waiting for it: until then its number, and its session's, are nobody else's.
        with contextlib.suppress(ChildProcessError):
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        return True

    def use(self, seen: family.Snapshot) -> family.Use | None:
        """Return what the child uses with all it started, its processor time since its attempt began; None once gone.

        The memory of the interpreter and the imports is counted, their processor time is not.
        """
        if self._used_at_end:
            return self._used_at_end
        used = seen.use(self.pid)
        if used is None:
            return None
        before = used.cpu_seconds if self._cpu_before is None else self._cpu_before
        return family.Use(used.memory_mb, max(0.0, used.cpu_seconds - before))

    def grown_mb(self) -> float:
        """Return how many megabytes more the child holds than when it was given its first attempt."""
        now = family.process(self.pid)
        return now.memory_mb - self._first_memory_mb if now and self._first_memory_mb else 0.0

    def is_fit(self) -> bool:
        """Whether the child lives, and has said nothing that nobody asked for."""
        return not self._has_ended() and self._is_silent()

    def _is_silent(self) -> bool:
        # Before it is ready, it has its readiness to tell.
        ready = {key.fileobj for key, _ in self._selector.select(0)}
        return not self.ready or (self._frames.empty and self._connection not in ready)

    def stop(self) -> None:
        """Stop the child where it is, at once, for the thread that serves it to end; from any thread, and again."""
        with self._lock:
            if self._reaped:
                return
            self._stopped = True
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGSTOP)
            with contextlib.suppress(OSError):
                self._connection.shutdown(socket.SHUT_RDWR)  # wakes the thread, whether it sends or receives

    def _end(self) -> int:
        """End the child with everything it started; returns its exit code."""
        if not self._reaped:
            living = not self._has_ended()
            if living:
                # It could start more, or see its own children die and still end as if all were well.
                os.kill(self.pid, signal.SIGSTOP)
            seen = family.snapshot()
            self._used_at_end = self.use(seen)
            if living:
                family.kill_tree(self.pid, seen)
            self._ends_within(family.LONGEST_END_SECONDS)
            family.kill_left(self.pid, self._mark, was_alone=living and not seen.below(self.pid))
            with self._lock:
                self._reaped = True
                self._process.wait()
        return self._process.returncode

    def close(self) -> None:
        """End the child and free its descriptors."""
        self._end()
        with self._lock:
            self._selector.close()
            self._connection.close()
            self._stdout.close()
            if self._ended is not None:
                os.close(self._ended)
                self._ended = None


def _be_nice(pid: int, nice: int) -> None:
    """Have a child, the leader of a session, yield the processor to whatever runs beside it.

    From here rather than by itself, after its imports: that many start at once must not hold up the services.
    """
    with contextlib.suppress(ProcessLookupError):
        os.setpriority(os.PRIO_PROCESS, pid, min(19, os.getpriority(os.PRIO_PROCESS, 0) + nice))
    # Where Linux shares the processors out among sessions (autogroup), that counts within the child's own one alone.
    for _ in range(SESSION_TRIES):
        try:
            Path(f"/proc/{pid}/autogroup").write_text(str(nice))
        except BlockingIOError:  # ordinary users may make one such change in 100 ms, all together
            time.sleep(SESSION_RETRY_SECONDS)
        except OSError:  # not here, or the child is gone
            break
        else:
            break


def _chunk(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, READ_BYTES)
    except OSError:
        return b""


def _pidfd(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):  # another system, an older kernel, or one that is told to refuse it
        return None


def _cause(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):  # real-time signals have no names
        return f"signal {signal.Signals(-code).name}"
    return f"signal {-code}"


def _environment(threads: int, mark: str, folder: Path) -> dict[str, str]:
    own = {family.MARK: mark, "HOME": "/nonexistent", "MPLCONFIGDIR": str(folder)}
    return family.environment() | dict.fromkeys(THREAD_COUNTS, str(threads)) | own | failpoints.environment()
