"""Claims about how a run of the test servers begins and ends; a shell with a child stands in for the servers."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.servers.errors import ServersUnavailableError
from tests.servers.postgresql import PostgreSQL
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.run import new_run, remove_abandoned_runs
from tests.servers.session import open_way

REPOSITORY = Path(__file__).parents[2]
LIMIT_SECONDS = 30.0
SESSION = """
import subprocess, sys
import psutil
from tests.servers.run import kill_family, new_run, record_process
with new_run() as run:
    server = subprocess.Popen(["/bin/sh", "-c", "sleep 600 & wait"], stdout=subprocess.DEVNULL, start_new_session=True)
    record_process(run / "server.pid", server.pid)
    print(run, flush=True)
    sys.stdin.read()
    kill_family(psutil.Process(server.pid))
    server.wait()
"""


@dataclass
class Session:
    """A test session in a process of its own."""

    process: subprocess.Popen[str]
    run: Path
    reaper: psutil.Process
    server: list[psutil.Process]

    def is_gone(self) -> bool:
        return not self.run.exists() and not any(map(is_alive, self.server))


class OpenWay:
    name = "an open way"

    def prepare(self) -> None:
        pass

    def rabbitmq(self, run: Path) -> RabbitMQ:
        raise NotImplementedError

    def postgresql(self, run: Path) -> PostgreSQL:
        raise NotImplementedError


class ClosedWay(OpenWay):
    name = "a closed way"

    def prepare(self) -> None:
        raise ServersUnavailableError("out of order")


@pytest.fixture
def session() -> Iterator[Session]:
    command = [sys.executable, "-c", SESSION]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as process:
        assert process.stdout is not None
        run = Path(process.stdout.readline().strip())
        wait_until(lambda: len(psutil.Process(process.pid).children(recursive=True)) == 3)
        [reaper, shell] = sorted(psutil.Process(process.pid).children(), key=lambda child: "sh" in child.name())
        yield Session(process, run, reaper, [shell, *shell.children()])
        process.kill()
    remove_abandoned_runs()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_session_that_ends_removes_its_run(session: Session) -> None:
    session.process.communicate()

    assert session.process.returncode == 0
    assert not session.run.exists()


def test_a_session_that_is_killed_leaves_nothing_running(session: Session) -> None:
    assert not session.is_gone()

    session.process.kill()

    wait_until(session.is_gone)


def test_the_next_run_removes_one_whose_reaper_was_killed_too(session: Session) -> None:
    session.reaper.kill()
    session.process.kill()
    session.process.wait()
    assert not session.is_gone()

    with new_run():
        assert session.is_gone()


def test_a_new_run_leaves_that_of_a_living_session_alone(session: Session) -> None:
    with new_run():
        assert session.run.exists()
        assert all(map(is_alive, session.server))


def test_the_first_open_way_is_chosen() -> None:
    way = open_way("", {"closed": ClosedWay, "open": OpenWay})

    assert way.name == "an open way"


def test_a_way_asked_for_by_name_has_no_substitute() -> None:
    with pytest.raises(ServersUnavailableError, match="a closed way: out of order"):
        open_way("closed", {"closed": ClosedWay, "open": OpenWay})


def test_without_an_open_way_one_message_says_why_and_what_to_do() -> None:
    with pytest.raises(ServersUnavailableError) as caught:
        open_way("", {"closed": ClosedWay})

    for words in ("out of order", "start a Docker engine", "apt-get install", "sudo", "make test-unit"):
        assert words in str(caught.value)


def test_a_way_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ServersUnavailableError, match="OFFLOAD_TEST_SERVERS is 'podman'"):
        open_way("podman")
