"""The handlers of the probe tasks."""

import asyncio
import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
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
        job.log("falls asleep")
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


def _block(payload: Probe, job: JobHandle) -> None:
    job.progress(1, str(os.getpid()))
    reader, _writer = os.pipe()
    os.read(reader, 1)


def _daemon(payload: Probe, job: JobHandle) -> None:
    job.progress(1, f"{os.getpid()} {_start_daemon()}")
    time.sleep(payload.seconds)


def _leave_daemon(payload: Probe, job: JobHandle) -> str:
    return str(_start_daemon())


def _crash_and_leave_daemon(payload: Probe, job: JobHandle) -> None:
    job.progress(1, f"{os.getpid()} {_start_daemon()}")
    time.sleep(0.5)
    os._exit(7)


def _start_daemon() -> int:
    """Start a process that leaves session and parent, and holds every descriptor of this one open."""
    reader, writer = os.pipe()
    if not (forked := os.fork()):
        os.setsid()
        if not os.fork():
            os.write(writer, str(os.getpid()).encode())
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(100_000)
        os._exit(0)
    os.waitpid(forked, 0)
    return int(os.read(reader, 20))


def _sleep_without_checkpoint(payload: Probe, job: JobHandle) -> None:
    job.progress(1, str(os.getpid()))
    time.sleep(payload.seconds)


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


def _allocate_in_grandchild(payload: Probe, job: JobHandle) -> None:
    hoard = "hoard = []\nwhile True: hoard.append(bytearray(b'x') * (16 << 20))"
    subprocess.run([sys.executable, "-c", hoard], check=False)
    time.sleep(1000)


def _burn_in_grandchildren(payload: Probe, job: JobHandle) -> None:
    burn = f"import time\nends = time.process_time() + {payload.seconds}\nwhile time.process_time() < ends: pass"
    for burning in [subprocess.Popen([sys.executable, "-c", burn]) for _ in range(2)]:
        burning.wait()


def _hoard(payload: Probe, job: JobHandle) -> None:
    HOARD.append(bytearray(b"x") * (300 << 20))


def _print(payload: Probe, job: JobHandle) -> None:
    print("printed", payload.note)
    print("to stderr", file=sys.stderr)
    job.log("by the handle")
    logging.getLogger("a.library").info("logged by a library")
    if payload.seconds:  # in a process, where C code and programs have the descriptors to themselves
        ctypes.CDLL(None).puts(b"from C")
        subprocess.run(["echo", "from a program"], check=True)
        job.progress(1, str(os.getpid()))
        time.sleep(payload.seconds)


def _print_without_end(payload: Probe, job: JobHandle) -> None:
    job.progress(1, str(os.getpid()))
    for number in range(10**12):
        print(f"{number:0100}")


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


def _descriptors(payload: Probe, job: JobHandle) -> str:
    kinds = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # that of the listing itself
            kinds.append(str(descriptor.readlink()).partition(":")[0])
    return " ".join(sorted(kinds))


def _progress(payload: Probe, job: JobHandle) -> None:
    for percent in range(1, 101):
        job.progress(percent, "working")
        time.sleep(payload.seconds / 100)


#: What a job left in the memory of its process.
HOARD: list[bytearray] = []

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
    "block": _block,
    "grandchild": _grandchild,
    "daemon": _daemon,
    "leave-daemon": _leave_daemon,
    "crash-and-leave-daemon": _crash_and_leave_daemon,
    "sleep": _sleep,
    "sleep-without-checkpoint": _sleep_without_checkpoint,
    "allocate": _allocate,
    "allocate-in-grandchild": _allocate_in_grandchild,
    "burn-in-grandchildren": _burn_in_grandchildren,
    "hoard": _hoard,
    "print": _print,
    "print-without-end": _print_without_end,
    "large-result": _large_result,
    "broken-frame": _broken_frame,
    "artifact": _artifact,
    "read-file": _read_file,
    "secrets": _secrets,
    "descriptors": _descriptors,
    "progress": _progress,
}
