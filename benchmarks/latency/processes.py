"""Starts the processes that are measured, waits until they answer, and ends them."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.latency.tasks import COMPUTE, QUEUE
from benchmarks.page import REPOSITORY

START_SECONDS = 60
STOP_SECONDS = 15

_LISTENS = re.compile(r"listens on (http://\S+)")
_TAKES_JOBS = re.compile(r"takes jobs from")


def python(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module of this package in a Python process of its own."""
    return [sys.executable, "-m", f"benchmarks.latency.{module}", *arguments]


def environment() -> dict[str, str]:
    """Return this process's environment without Offload's settings, and with this package to be found."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OFFLOAD_")}
    return kept | {"PYTHONPATH": _joined(str(REPOSITORY), kept.get("PYTHONPATH", ""))}


def install_task(folder: Path) -> None:
    """Make the benchmark's task known to processes that have `folder` on PYTHONPATH, as installing a package would.

    Both services find tasks by the entry points of distributions on their path. A folder with metadata is one: so the
    virtual environment stays as it is.
    """
    metadata = folder / "offload_benchmark-0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: offload-benchmark\nVersion: 0\n")
    (metadata / "entry_points.txt").write_text(
        "[offload.tasks]\nbenchmark = benchmarks.latency.tasks:TASKS\n\n"
        f"[offload.handlers]\n{COMPUTE.name} = benchmarks.latency.handlers:run\n"
    )


@contextmanager
def comparison_app(folder: Path) -> Iterator[str]:
    """Run the API that computes inside its own process, with its data in `folder`; yields its address."""
    # While it computes it answers nobody. It shall do so late rather than with an error, and end without ado.
    patient = {"OFFLOAD_STORE_ANSWER_SECONDS": "300", "OFFLOAD_SHUTDOWN_SECONDS": "1", "OFFLOAD_PORT": "0"}
    variables = _offload_environment(folder) | patient
    with _running("comparison", python("comparison"), folder, variables, _LISTENS) as found:
        yield found.group(1)


@contextmanager
def offload_api(folder: Path) -> Iterator[str]:
    """Run Offload's API with its data in `folder`; yields its address."""
    command = [_script("offload-api"), "--port", "0"]
    with _running("offload-api", command, folder, _offload_environment(folder), _LISTENS) as found:
        yield found.group(1)


@contextmanager
def offload_worker(folder: Path, slots: int) -> Iterator[None]:
    """Run an Offload worker, of the benchmark's queue alone, beside an API with the same folder."""
    command = [_script("offload-worker"), "--queue", QUEUE, "--slots", str(slots)]
    with _running("offload-worker", command, folder, _offload_environment(folder), _TAKES_JOBS):
        yield


def _offload_environment(folder: Path) -> dict[str, str]:
    inherited = environment()
    tasks = folder / "tasks"
    if not tasks.exists():
        install_task(tasks)
    # A job that is running when the benchmark is interrupted is of no use to anybody: hence no time to end it.
    own = {"OFFLOAD_DATA_DIR": str(folder / "data"), "OFFLOAD_GRACE_SECONDS": "0.1", "OFFLOAD_LOG_LEVEL": "INFO"}
    return inherited | own | {"PYTHONPATH": _joined(str(tasks), inherited["PYTHONPATH"])}


def _script(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def _joined(*folders: str) -> str:
    return os.pathsep.join(folder for folder in folders if folder)


@contextmanager
def _running(
    name: str, command: Sequence[str], folder: Path, variables: dict[str, str], announcement: re.Pattern[str]
) -> Iterator[re.Match[str]]:
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        # In a session of its own, it does not get our Ctrl-C: we end it ourselves, in order.
        process = subprocess.Popen(command, stdout=output, stderr=output, env=variables, start_new_session=True)
    try:
        yield _announced(name, process, log, announcement)
    finally:
        _stop(process)


def _announced(name: str, process: subprocess.Popen[bytes], log: Path, announcement: re.Pattern[str]) -> re.Match[str]:
    ends = time.monotonic() + START_SECONDS
    while not (found := announcement.search(log.read_text(errors="replace"))):
        if process.poll() is not None or time.monotonic() > ends:
            sys.exit(f"{name} did not start; its log ends:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.02)
    return found


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
