"""The doorbell of each kind of store, between processes."""

import os
import queue
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from offload_shared.store.database import Database
from offload_shared.store.doorbell import Doorbell, Topic
from tests.acceptance.stack import until

LONG_SECONDS = 30.0

RINGING = """
import sys
from offload_shared.store.database import Database
from offload_shared.store.doorbell import Doorbell, Topic
bell = Doorbell(Database(sys.argv[1]), Topic.ENDED)
for _ in sys.stdin:
    bell.ring()
"""

LISTENING = """
import sys, time
from offload_shared.store.database import Database
from offload_shared.store.doorbell import Doorbell, Topic
Doorbell(Database(sys.argv[1]), Topic.ENDED).listen(lambda: print("heard", flush=True))
time.sleep(600)
"""


@pytest.fixture
def bell(database: Database) -> Iterator[Doorbell]:
    made = Doorbell(database, Topic.ENDED)
    yield made
    made.close()


@pytest.fixture
def heard(bell: Doorbell) -> queue.Queue[float]:
    """When the bell was answered; the first answer, in the beginning, is over."""
    answers = queue.Queue[float]()
    bell.listen(lambda: answers.put(time.monotonic()))
    answers.get(timeout=LONG_SECONDS)
    return answers


def another(program: str, store_url: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, store_url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_a_ring_of_another_process_is_heard(heard: queue.Queue[float], database: Database, store_url: str) -> None:
    with another(RINGING, store_url) as process:
        assert process.stdin
        for _ in range(3):
            process.stdin.write("\n")
            process.stdin.flush()
            assert heard.get(timeout=LONG_SECONDS)


def test_a_ring_is_heard_by_everybody_of_its_topic_and_by_nobody_else(
    heard: queue.Queue[float], database: Database, bell: Doorbell
) -> None:
    second, other = Doorbell(database, Topic.ENDED), Doorbell(database, Topic.ADDED)
    answers, others = queue.Queue[None](), queue.Queue[None]()
    second.listen(lambda: answers.put(None))
    other.listen(lambda: others.put(None))
    answers.get(timeout=LONG_SECONDS)
    others.get(timeout=LONG_SECONDS)

    bell.ring()

    assert heard.get(timeout=LONG_SECONDS)
    answers.get(timeout=LONG_SECONDS)
    second.close()
    other.close()
    assert others.empty()


def test_many_rings_in_a_moment_are_answered_by_fewer_of_which_the_last_comes_after_the_last_ring(
    heard: queue.Queue[float], bell: Doorbell
) -> None:
    for _ in range(1000):
        bell.ring()
    rung = time.monotonic()

    answered, answers = 0.0, 0
    while answered < rung:
        answered, answers = heard.get(timeout=LONG_SECONDS), answers + 1
    assert answers < 1000


def test_who_was_killed_while_it_listened_is_in_nobodys_way(
    heard: queue.Queue[float], bell: Doorbell, store_url: str
) -> None:
    with another(LISTENING, store_url) as process:
        assert process.stdout
        assert "heard\n" == process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)

    bell.ring()

    assert heard.get(timeout=LONG_SECONDS)
    folder = Path(f"{Database(store_url).url.database}-doorbells")
    if store_url.startswith("sqlite"):  # the living one may have been rung first
        until(lambda: 1 == len(list(folder.iterdir())), "the pipe of the one that was killed is gone")


def test_a_listener_hears_again_once_its_connection_was_cut(postgres_url: str) -> None:
    database, answers = Database(postgres_url), queue.Queue[None]()
    bell = Doorbell(database, Topic.ENDED)
    bell.listen(lambda: answers.put(None))
    answers.get(timeout=LONG_SECONDS)

    listening = "query LIKE 'LISTEN%' AND datname = current_database()"
    cut = text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {listening}")
    database.read(lambda connection: connection.execute(cut).all())
    answers.get(timeout=LONG_SECONDS)  # it listens again, and may have missed a ring
    bell.ring()

    answers.get(timeout=LONG_SECONDS)
    bell.close()
    database.dispose()


def test_nobody_waits_for_a_ring_while_the_store_is_away(tmp_path: Path) -> None:
    bell = Doorbell(Database("postgresql+psycopg://nobody@127.0.0.1:1/nothing"), Topic.ENDED)

    began = time.monotonic()
    bell.ring()
    assert time.monotonic() - began < 1
    bell.close()


def test_nothing_of_a_listener_is_left_when_it_ends(heard: queue.Queue[float], bell: Doorbell, tmp_path: Path) -> None:
    bell.close()

    assert [] == list(tmp_path.rglob("*-doorbells/*"))
