"""The handlers of the probe tasks."""

import asyncio
import ctypes
import json
import logging
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from offload_worker.handle import JobHandle, JobRejected
from probe.tasks import Probe, ProbeResult


def probe(payload: Probe, job: JobHandle) -> ProbeResult:
    """Do what the payload says, in a process or on a thread."""
    note = ACTIONS[payload.action](payload, job)
    return ProbeResult(attempt=job.attempt, pid=os.getpid(), note=payload.note if note is None else note)


async def probe_async(payload: Probe, job: JobHandle) -> ProbeResult:
    """Sleep or read a file as asked, or do what else the payload says."""
    if payload.action == "sleep" or (payload.action == "sleep-once" and job.attempt == 1):
        job.log("falls asleep")
        job.progress(1, str(os.getpid()))
        await asyncio.sleep(payload.seconds)
        return ProbeResult(attempt=job.attempt, pid=os.getpid(), note=payload.note)
    if payload.action in ("read-file", "read-artifact"):
        note = await asyncio.to_thread(ACTIONS[payload.action], payload, job)
        return ProbeResult(attempt=job.attempt, pid=os.getpid(), note=note)
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


def _daemon_once(payload: Probe, job: JobHandle) -> None:
    if job.attempt == 1:
        _daemon(payload, job)


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


def _sleep_once(payload: Probe, job: JobHandle) -> None:
    if job.attempt == 1:
        _sleep(payload, job)


def _allocate(payload: Probe, job: JobHandle) -> None:
    job.progress(1, str(os.getpid()))
    hoard = []
    while True:
        hoard.append(bytearray(os.urandom(1024)) * (16 * 1024))


def _allocate_at_once(payload: Probe, job: JobHandle) -> None:
    bytes(2 << 30)  # mapped and never touched: no memory that the watchdog could see


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
    content = job.file(payload.file_id).read_text()
    print("has read", content)
    return content


def _read_artifact(payload: Probe, job: JobHandle) -> str:
    assert payload.job_id is not None
    return job.artifact_of(payload.job_id, "note.txt").read_text()


def _surroundings(payload: Probe, job: JobHandle) -> str:
    """Tell what a process of the job may know of its worker: environment now and at its start, and command line."""
    told = b"\0".join(Path("/proc/self", name).read_bytes() for name in ("environ", "cmdline"))
    now = [f"{name}={value}" for name, value in os.environ.items()]
    return "\n".join([*now, *told.decode(errors="replace").split("\0")])


def _threads(payload: Probe, job: JobHandle) -> str:
    """Tell on how many threads each library that computes on several would, here."""
    import sklearn  # noqa: F401, PLC0415 - brings them; too large for every other probe
    from threadpoolctl import threadpool_info  # noqa: PLC0415

    return " ".join(f"{each['user_api']}={each['num_threads']}" for each in threadpool_info())


def _descriptors(payload: Probe, job: JobHandle) -> str:
    kinds = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # that of the listing itself
            kinds.append(str(descriptor.readlink()).partition(":")[0])
    return " ".join(sorted(kinds))


def _disturb(payload: Probe, job: JobHandle) -> None:
    DISTURBANCES[payload.note]()


def _examine(payload: Probe, job: JobHandle) -> str:
    """Tell the state that a job finds its process in, and use what others may have spoilt."""
    tempfile.mkdtemp()
    print("examined")
    umask = os.umask(0o22)
    code = subprocess.run([sys.executable, "-c", "raise SystemExit(3)"], check=False).returncode
    time.sleep(payload.seconds)
    return f"{os.environ.get('DISTURBED')} {umask:o} {os.nice(0)} {code} {Path.cwd() == Path(os.environ['TMPDIR'])}"


def _print_for_ever() -> None:
    def run() -> None:
        while True:
            with suppress(ValueError):
                print("a stranger's words", flush=True)
            time.sleep(0.01)

    threading.Thread(target=run, daemon=True).start()


#: What a job may do to the process it runs in.
DISTURBANCES: dict[str, Callable[[], object]] = {
    "temporary folder": tempfile.mkdtemp,
    "alarm": lambda: signal.alarm(1),
    "signal": lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN),
    "limit": lambda: resource.setrlimit(resource.RLIMIT_CPU, (1, 1)),
    "environment": lambda: os.environ.update(DISTURBED="yes", TMPDIR="/nowhere"),
    "umask": lambda: os.umask(0o777),
    "nice": lambda: os.nice(3),
    "closed stream": sys.stdout.close,
    "closed descriptor": lambda: os.close(1),
    "replaced stream": lambda: setattr(sys, "stdout", None),
    "thread": _print_for_ever,
    "working folder": lambda: os.chdir("/"),
}


def _forge_ends(payload: Probe, job: JobHandle) -> None:
    for number in range(2):
        result = {"attempt": 1, "pid": number, "note": "forged"}
        end = {
            "type": "Returned",
            "id": job.id,
            "attempt": job.attempt,
            "result": result,
            "cpu_seconds": 0,
            "fit": True,
        }
        body = json.dumps(end).encode()
        os.write(int(sys.argv[1]), len(body).to_bytes(4, "big") + body)


def _link_artifacts(payload: Probe, job: JobHandle) -> None:
    folder = job.artifact("environ", "text/plain").parent
    folder.rename(folder.with_name("aside"))
    folder.symlink_to("/proc/self")


def _fork_and_leave(payload: Probe, job: JobHandle) -> None:
    if not os.fork():
        sys.exit(0)


def _fork_and_sleep(payload: Probe, job: JobHandle) -> str:
    if not (forked := os.fork()):
        time.sleep(payload.seconds)
        os._exit(0)
    return str(forked)


def _fork_without_end(payload: Probe, job: JobHandle) -> None:
    job.progress(1, str(os.getpid()))
    if not os.fork():
        while True:
            if os.fork():
                os._exit(0)
    time.sleep(payload.seconds)


class UnprintableError(Exception):
    """Fails at its own words too."""

    def __str__(self) -> str:
        raise ValueError("bad \udce9 word")


def _raise_unprintable(payload: Probe, job: JobHandle) -> None:
    raise UnprintableError


def _close_connection(payload: Probe, job: JobHandle) -> None:
    os.close(int(sys.argv[1]))
    time.sleep(payload.seconds)


def _progress(payload: Probe, job: JobHandle) -> None:
    for percent in range(1, 101):
        job.progress(percent, "working")
        time.sleep(payload.seconds / 100)


#: What a job left in the memory of its process.
HOARD: list[bytearray] = []


def _count(payload: Probe, job: JobHandle) -> str:
    """Count to ten and save each number; the first attempt stays at nine for as long as asked."""
    first = int(job.saved() or b"0")
    for number in range(first + 1, 11):
        job.save(str(number).encode())
        if (number, job.attempt) == (9, 1):
            job.progress(90, str(os.getpid()))
            time.sleep(payload.seconds)
    return f"from {first}"


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
    "daemon-once": _daemon_once,
    "leave-daemon": _leave_daemon,
    "crash-and-leave-daemon": _crash_and_leave_daemon,
    "sleep": _sleep,
    "sleep-once": _sleep_once,
    "sleep-without-checkpoint": _sleep_without_checkpoint,
    "allocate": _allocate,
    "allocate-at-once": _allocate_at_once,
    "allocate-in-grandchild": _allocate_in_grandchild,
    "burn-in-grandchildren": _burn_in_grandchildren,
    "hoard": _hoard,
    "print": _print,
    "print-without-end": _print_without_end,
    "large-result": _large_result,
    "broken-frame": _broken_frame,
    "artifact": _artifact,
    "count": _count,
    "read-file": _read_file,
    "read-artifact": _read_artifact,
    "surroundings": _surroundings,
    "threads": _threads,
    "descriptors": _descriptors,
    "disturb": _disturb,
    "examine": _examine,
    "forge-ends": _forge_ends,
    "link-artifacts": _link_artifacts,
    "fork-and-leave": _fork_and_leave,
    "fork-and-sleep": _fork_and_sleep,
    "fork-without-end": _fork_without_end,
    "raise-unprintable": _raise_unprintable,
    "close-connection": _close_connection,
    "progress": _progress,
}
