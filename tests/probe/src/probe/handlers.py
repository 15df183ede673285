"""The handlers of the probe tasks."""

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from offload_worker.handle import JobHandle, JobRejected
from probe.tasks import Probe, ProbeResult


def probe(payload: Probe, job: JobHandle) -> ProbeResult:
    """Do what the payload says, in a process or on a thread."""
    note = ACTIONS[payload.action](payload, job)
    return ProbeResult(attempt=job.attempt, pid=os.getpid(), note=payload.note if note is None else note)


async def probe_async(payload: Probe, job: JobHandle) -> ProbeResult:
    """Sleep as asked, or do what else the payload says."""
    if payload.action == "sleep":
        await asyncio.sleep(payload.seconds)
        return ProbeResult(attempt=job.attempt, pid=os.getpid(), note=payload.note)
    return probe(payload, job)


def _raise(payload: Probe, job: JobHandle) -> None:
    raise RuntimeError(f"asked to fail in attempt {job.attempt}")


def _raise_once(payload: Probe, job: JobHandle) -> None:
    if job.attempt == 1:
        raise RuntimeError("asked to fail once")


def _reject(payload: Probe, job: JobHandle) -> None:
    raise JobRejected("the probe does not like its input")


def _exit(payload: Probe, job: JobHandle) -> None:
    print("last words", flush=True)
    os._exit(7)


def _segfault(payload: Probe, job: JobHandle) -> None:
    ctypes.string_at(0)


def _kill_once(payload: Probe, job: JobHandle) -> None:
    if job.attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)


def _spin(payload: Probe, job: JobHandle) -> None:
    job.progress(1, str(os.getpid()))
    ends = time.monotonic() + payload.seconds
    while time.monotonic() < ends:
        pass


def _spin_in_c(payload: Probe, job: JobHandle) -> None:
    job.progress(1, str(os.getpid()))
    pow(3, 10**9)  # minutes inside one call that never looks at a signal


def _ignore_sigterm(payload: Probe, job: JobHandle) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _spin(payload, job)


def _grandchild(payload: Probe, job: JobHandle) -> None:
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100000)"], start_new_session=True)
    job.progress(1, f"{os.getpid()} {sleeper.pid}")
    sleeper.wait()


def _sleep(payload: Probe, job: JobHandle) -> None:
    job.progress(1, str(os.getpid()))
    ends = time.monotonic() + payload.seconds
    while time.monotonic() < ends:
        job.check_cancelled()
        time.sleep(0.01)


def _allocate(payload: Probe, job: JobHandle) -> None:
    job.progress(1, str(os.getpid()))
    hoard = []
    while True:
        hoard.append(bytearray(os.urandom(1024)) * (16 * 1024))


def _large_result(payload: Probe, job: JobHandle) -> str:
    return "x" * 2 * 1024 * 1024


def _broken_frame(payload: Probe, job: JobHandle) -> None:
    os.write(int(sys.argv[1]), b"\xff" * 100)
    time.sleep(100)


def _artifact(payload: Probe, job: JobHandle) -> None:
    job.artifact("note.txt", "text/plain").write_text(payload.note)


def _read_file(payload: Probe, job: JobHandle) -> str:
    assert payload.file_id is not None
    return job.file(payload.file_id).read_text()


def _secrets(payload: Probe, job: JobHandle) -> str:
    names = " ".join(sorted(os.environ))
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    return f"{names}; {descriptors} descriptors; in {Path.cwd()}"


def _progress(payload: Probe, job: JobHandle) -> None:
    for percent in range(1, 101):
        job.progress(percent, "working")
        time.sleep(payload.seconds / 100)


ACTIONS = {
    "return": lambda payload, job: None,
    "raise": _raise,
    "raise-once": _raise_once,
    "reject": _reject,
    "exit": _exit,
    "segfault": _segfault,
    "kill-once": _kill_once,
    "spin": _spin,
    "spin-in-c": _spin_in_c,
    "ignore-sigterm": _ignore_sigterm,
    "grandchild": _grandchild,
    "sleep": _sleep,
    "allocate": _allocate,
    "large-result": _large_result,
    "broken-frame": _broken_frame,
    "artifact": _artifact,
    "read-file": _read_file,
    "secrets": _secrets,
    "progress": _progress,
}
