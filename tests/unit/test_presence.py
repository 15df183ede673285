"""Claims about when a worker tells the store that it is there."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from offload_shared.errors import StoreUnavailable
from offload_shared.store import workers
from offload_shared.store.database import Database
from offload_shared.store.migrate import migrate
from offload_shared.store.workers import LiveWorker, Presence
from offload_worker import presence
from offload_worker.presence import PresenceKeeper

LEASE_SECONDS = 30.0


class Scene:
    def __init__(self, database: Database) -> None:
        self.database = database
        self.now = 1000.0
        self.said = Presence(name="w", host="h", pid=1, version="1", slots={"io": 1})
        self.keeper = PresenceKeeper(database, lambda: self.said, lease_seconds=LEASE_SECONDS)

    def monotonic(self) -> float:
        return self.now

    def listed(self) -> list[LiveWorker]:
        return workers.live(self.database)


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    database = Database(f"sqlite:///{tmp_path / 'offload.db'}")
    migrate(database)
    made = Scene(database)
    monkeypatch.setattr(presence, "time", made)
    yield made
    database.dispose()


def test_a_worker_announces_itself_a_few_times_a_lease(scene: Scene) -> None:
    scene.keeper.step()
    [first] = scene.listed()

    scene.now += LEASE_SECONDS / 6 - 0.1
    scene.keeper.step()
    assert [first] == scene.listed()

    scene.now += 0.2
    scene.keeper.step()
    assert first.seen_at < scene.listed()[0].seen_at


def test_news_of_a_worker_is_told_at_once(scene: Scene) -> None:
    scene.keeper.step()
    scene.said = replace(scene.said, draining=True)

    scene.keeper.step()

    assert scene.listed()[0].presence.draining


def test_what_a_store_that_was_away_has_not_heard_is_told_with_the_next_step(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise StoreUnavailable("away")

    with monkeypatch.context() as outage:
        outage.setattr(workers, "announce", away)
        scene.keeper.step()
    assert [] == scene.listed()

    scene.keeper.step()

    assert "w" == scene.listed()[0].presence.name


def test_a_worker_that_leaves_is_gone(scene: Scene) -> None:
    scene.keeper.step()

    scene.keeper.leave()

    assert [] == scene.listed()
