"""Waiting for output: clients stay with the attempt they came to, and the store is not run over."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from litestar.datastructures import Headers
from litestar.types import Receive

from offload_api.access import Caller
from offload_api.routes import output
from offload_api.services import Services, assemble
from offload_api.settings import ApiSettings
from offload_shared.artifacts import Artifacts
from offload_shared.errors import StoreUnavailable
from offload_shared.job import Failed, Failure, Output, Usage
from offload_shared.store import leases, outputs
from offload_shared.store.database import Database
from offload_shared.store.migrate import migrate
from offload_shared.tasks import registry
from tests.jobs import claimed, make_due, running


class Meanwhile:
    """Waits for no longer than it takes one attempt to fail and the next one to speak."""

    def __init__(self, database: Database, lease: leases.Lease) -> None:
        self._database, self._lease = database, lease

    async def changed(self, job_id: str, version: int, **_: Any) -> bool:
        leases.finish(self._database, self._lease, Failed(Failure.ERROR, "it broke"), Usage())
        make_due(self._database, job_id)
        again = claimed(self._database, job_id)
        assert again is not None
        outputs.append(self._database, {(job_id, again.attempt): Output(0, b"from the second attempt")})
        return True


@pytest.fixture
def database(tmp_path: Path) -> Database:
    opened = Database(f"sqlite:///{tmp_path / 'offload.db'}")
    migrate(opened)
    return opened


@pytest.fixture
def services(database: Database, tmp_path: Path) -> Iterator[Services]:
    artifacts = Artifacts((tmp_path / "artifacts").as_uri())
    made = assemble(ApiSettings(), registry(), database, artifacts, None)
    yield made
    made.store.close()


async def awaited(services: Services, lease: leases.Lease, receive: Receive | None = None) -> output.Sight:
    request: Any = SimpleNamespace(auth=Caller(), headers=Headers({"Prefer": "wait=30"}), receive=receive)
    return await output._await_output(services, request, lease[0], output.Wanted(attempt=0, after=0))


def test_a_wait_that_misses_the_end_of_its_attempt_is_not_answered_with_the_next_ones_bytes(
    services: Services, database: Database
) -> None:
    lease = running(database)
    services = msgspec.structs.replace(services, watch=Meanwhile(database, lease))

    sight = asyncio.run(awaited(services, lease))

    assert (1, b"", False) == (sight.attempt, sight.output.content, sight.growing)


def test_nobody_looks_for_output_any_longer_once_the_client_has_left(services: Services, database: Database) -> None:
    async def leaves() -> Any:
        return {"type": "http.disconnect"}

    async def scenario() -> None:
        async with asyncio.timeout(15):
            sight = await awaited(services, running(database), leaves)
        await asyncio.sleep(0)  # a turn for what was cancelled

        assert sight.growing
        assert not [task for task in asyncio.all_tasks() if "_something_said" in repr(task)]

    asyncio.run(scenario())


class Busy:
    """A store that takes its time, and counts how many ask it at once."""

    def __init__(self) -> None:
        self.asked = self.asking = self.most = 0

    async def run(self, *_: Any, **__: Any) -> Output:
        self.asked += 1
        self.asking += 1
        self.most = max(self.most, self.asking)
        await asyncio.sleep(0.001)
        self.asking -= 1
        if self.asked <= 50:
            raise StoreUnavailable("away")
        return Output(0, b"said")


def test_however_many_wait_they_ask_the_store_in_turn_and_outlast_its_absence() -> None:
    async def scenario() -> None:
        busy = Busy()
        services: Any = SimpleNamespace(store=busy, output_turn=asyncio.Lock())
        wanted = output.Wanted(attempt=1, after=0)

        answers = await asyncio.gather(*(output._something_said(services, Caller(), "a", wanted) for _ in range(50)))

        assert all(answers)
        assert (100, 1) == (busy.asked, busy.most)

    asyncio.run(scenario())
