"""The relay: everything due is published, and nothing twice without need."""

import asyncio
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from offload_api.broker import BrokerUnavailable
from offload_api.relay import REST_SECONDS, Relay
from offload_api.store import Store
from offload_shared.job import Hint
from offload_shared.store import hints
from offload_shared.store.database import Database
from offload_shared.store.migrate import migrate
from tests.jobs import added, claimed, make_due


class FakePublisher:
    """A broker's queue in memory."""

    def __init__(self) -> None:
        self.queue: list[str] = []
        self.unconfirmed: list[str] = []
        self.connected = True
        self.room = 1000
        self.doubts = 0

    def publish(self, new: Iterable[Hint]) -> None:
        self.queue += (published := [hint.job_id for hint in new])
        self.unconfirmed += published

    def take_confirmed(self) -> list[str]:
        taken, self.unconfirmed = self.unconfirmed, []
        return taken

    async def depths(self) -> dict[str, int]:
        if not self.connected:
            raise BrokerUnavailable("away")
        return {"cpu": len(self.queue)}


class Scene:
    """A relay between a store in a file and a broker in memory."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.publisher = FakePublisher()
        self.now = 0.0
        self.store = Store(database, threads=1, answer_seconds=30)
        self.relay = Relay(self.store, cast("Any", self.publisher), clock=lambda: self.now)

    def step(self) -> None:
        asyncio.run(self.relay.step())


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    database = Database(f"sqlite:///{tmp_path / 'offload.db'}")
    migrate(database)
    made = Scene(database)
    yield made
    made.store.close()


def due(scene: Scene, **changes: Any) -> str:
    job_id = added(scene.database, **changes)
    make_due(scene.database, job_id)
    return job_id


def test_what_is_due_is_published_once(scene: Scene) -> None:
    job_id = due(scene)

    scene.step()
    scene.step()

    assert [job_id] == scene.publisher.queue


def test_a_new_job_is_left_to_its_own_request(scene: Scene) -> None:
    added(scene.database)

    scene.step()

    assert [] == scene.publisher.queue


def test_a_job_whose_hint_was_confirmed_is_not_due_again(scene: Scene) -> None:
    job_id = added(scene.database)
    scene.publisher.publish([Hint(job_id, "cpu")])

    scene.step()
    row = hints.backlog(scene.database)

    assert {"cpu": 1} == row
    assert set() == hints.queues_due(scene.database)


def test_more_than_a_batch_goes_in_one_step(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hints, "BATCH", 3)
    jobs = {due(scene) for _ in range(8)}

    scene.step()

    assert jobs == set(scene.publisher.queue)


def test_nothing_is_taken_that_there_is_no_room_for(scene: Scene) -> None:
    scene.publisher.room = 0
    due(scene)

    scene.step()

    assert {"cpu"} == hints.queues_due(scene.database)


def test_nothing_is_taken_while_the_broker_is_away(scene: Scene) -> None:
    scene.publisher.connected = False
    due(scene)

    scene.step()

    assert {"cpu"} == hints.queues_due(scene.database)


def test_an_honest_backlog_is_left_alone_and_looked_at_again_later(scene: Scene) -> None:
    waiting = [due(scene) for _ in range(4)]
    scene.step()
    for job_id in waiting:
        make_due(scene.database, job_id)  # the time for a repeat has come, and every message is still there

    scene.step()
    assert sorted(waiting) == sorted(scene.publisher.queue)

    scene.publisher.queue.pop()  # one is lost
    scene.now += REST_SECONDS - 0.1
    scene.step()
    assert 3 == len(scene.publisher.queue)

    scene.now += 0.2
    scene.step()
    assert set(waiting) == set(scene.publisher.queue)


def test_messages_of_jobs_that_run_do_not_hide_those_that_were_lost(scene: Scene) -> None:
    lost, taken = due(scene), due(scene)
    scene.step()
    claimed(scene.database, taken)
    scene.publisher.queue.clear()
    make_due(scene.database, lost)

    scene.step()

    assert [lost] == scene.publisher.queue


def test_a_broker_that_lost_its_messages_gets_all_of_them_again(scene: Scene) -> None:
    waiting = {due(scene) for _ in range(4)}
    scene.step()
    scene.publisher.queue.clear()
    scene.publisher.doubts += 1

    scene.step()

    assert waiting == set(scene.publisher.queue)


def test_a_reconnection_without_loss_publishes_nothing_again(scene: Scene) -> None:
    waiting = [due(scene) for _ in range(4)]
    scene.step()
    scene.publisher.doubts += 1

    scene.step()

    assert sorted(waiting) == sorted(scene.publisher.queue)
