"""The child process: imports its handlers once, then runs one attempt after another as its worker tells it."""

import contextlib
import ctypes
import importlib
import io
import logging
import os
import resource
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import msgspec

from offload_shared import failpoints, tasks
from offload_shared.failpoints import Point
from offload_shared.interpreter import keep_what_is_there
from offload_shared.job import Failed, Succeeded
from offload_worker import handlers
from offload_worker.handle import JobRejected
from offload_worker.output import LINE_FORMAT
from offload_worker.runners import call, frames
from offload_worker.runners.pristine import Pristine
from offload_worker.runners.runner import clean_progress
from offload_worker.workspace import state_file

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36

#: Between two reports of progress; a handler may call as often as it likes.
REPORT_SECONDS = 0.1
#: Beyond the job's limit, which the worker's watchdog holds by resident memory: mapped is more than used.
MAPPED_ALLOWANCE_MB = 1024


Answer = TypeVar("Answer")


class ChildHandle:
    """The `JobHandle` inside a child: asks its worker for whatever lies outside."""

    def __init__(self, connection: socket.socket, run: frames.Run) -> None:
        self.id = run.id
        self.attempt = run.attempt
        self._connection = connection
        self._state = state_file(Path(run.folder))
        self._reported = 0.0

    def progress(self, percent: float, message: str = "") -> None:
        """Tell the client how far the job is."""
        now = time.monotonic()
        if now - self._reported >= REPORT_SECONDS or percent >= 100:
            self._reported = now
            clean = clean_progress(percent, message)
            frames.send(self._connection, frames.Report(clean.percent, clean.message))

    def log(self, message: str) -> None:
        """Add a line to the job's output."""
        sys.stdout.write(f"{message}\n")

    def check_cancelled(self) -> None:
        """Do nothing: a child that is to end is killed."""

    def file(self, file_id: str) -> Path:
        """Fetch an uploaded file."""
        return self._ask(frames.FileWanted(file_id))

    def artifact_of(self, job_id: str, name: str) -> Path:
        """Fetch what an earlier job left behind."""
        return self._ask(frames.ArtifactWanted(job_id, name))

    def artifact(self, name: str, media_type: str) -> Path:
        """Name an artifact and return where to write it."""
        return self._ask(frames.ArtifactNamed(name, media_type))

    def save(self, state: bytes) -> None:
        """Keep what the next attempt can go on from."""
        self._state.write_bytes(state)
        self._answer(frames.StateWritten(), frames.Saved)

    def saved(self) -> bytes | None:
        """Return what an attempt of this job has saved last."""
        path = self._answer(frames.StateWanted(), frames.StateAt).path
        return None if path is None else Path(path).read_bytes()

    def _ask(self, frame: frames.Asked) -> Path:
        return Path(self._answer(frame, frames.FileAt).path)

    def _answer(self, frame: frames.Asked, kind: type[Answer]) -> Answer:
        frames.send(self._connection, frame)
        match frames.receive_to_child(self._connection):
            case answer if isinstance(answer, kind):
                return answer
            case frames.Refused(detail, rejected=True):
                raise JobRejected(detail)
            case frames.Refused(detail):
                raise OSError(detail)
            case _:
                return leave()


def leave() -> NoReturn:
    """End at once: there is nobody to work for."""
    os._exit(1)


def bind_to(parent: int) -> None:
    """Ask the kernel to kill this process when its worker dies, and before its worker when memory runs out.

    Whatever this process starts stays below it, also when its own parent has ended: so it is found and ended with it.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
        Path("/proc/self/oom_score_adj").write_text("1000")
    if os.getppid() != parent:  # it died before we asked
        leave()


def main() -> None:
    """Serve the worker at the other end of the socket that the arguments name."""
    descriptor, parent, modules = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    bind_to(parent)
    for number in (signal.SIGINT, signal.SIGTERM):  # the worker's to act on, who ends this process when it wants to
        signal.signal(number, lambda *_: None)
    _prepare_output()
    connection = socket.socket(fileno=descriptor)
    failpoints.arm(os.environ.get("OFFLOAD_FAILPOINTS", ""))
    for module in modules:
        importlib.import_module(module)
    keep_what_is_there()
    frames.send(connection, frames.Ready())
    pristine = Pristine()
    while isinstance(run := frames.receive_to_child(connection), frames.Run):
        end = work(connection, run, pristine)
        failpoints.reached(Point.RETURNING)
        frames.send(connection, end)


def work(connection: socket.socket, run: frames.Run, pristine: Pristine) -> frames.Returned | frames.Raised:
    """Run one attempt and say how it ended."""
    own, before, trace = os.getpid(), _cpu_seconds(), ""
    try:
        outcome = _outcome(connection, run)
    except BaseException as error:  # noqa: BLE001 - also SystemExit: the child serves on
        outcome, trace = call.failed(error), call.trace(error)
    _flush_output()
    if os.getpid() != own:  # a copy that the handler forked came back from it
        leave()
    fit = pristine.restore()
    cpu_seconds = _cpu_seconds() - before
    if isinstance(outcome, Succeeded):
        return frames.Returned(run.id, run.attempt, msgspec.Raw(outcome.result), cpu_seconds, fit)
    return frames.Raised(run.id, run.attempt, outcome.failure, outcome.detail, trace, cpu_seconds, fit)


def _outcome(connection: socket.socket, run: frames.Run) -> Succeeded | Failed:
    os.chdir(run.folder)
    os.environ["TMPDIR"] = tempfile.tempdir = run.folder
    _limit_memory(run.memory_limit_mb)
    task = tasks.registry()[run.task]
    payload = call.read_payload(task, run.payload)
    result: Any = handlers.load(run.task)(payload, ChildHandle(connection, run))
    return call.succeeded(task, result)


def _prepare_output() -> None:
    # Line by line, so that a client sees it soon and a crash loses nothing of it.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True, errors="replace")
    logging.basicConfig(level=logging.INFO, format=LINE_FORMAT, stream=sys.stdout)


def _flush_output() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # a handler may have closed it, or put anything in its place
            stream.flush()
    ctypes.CDLL(None).fflush(None)  # what C code has printed


def _limit_memory(limit_mb: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    soft = (limit_mb + MAPPED_ALLOWANCE_MB) * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def _cpu_seconds() -> float:
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


if __name__ == "__main__":
    main()
