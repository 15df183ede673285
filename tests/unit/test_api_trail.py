"""What a process keeps of the audit trail until the store has it."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from offload_api import trail
from offload_api.access import Caller
from offload_api.trail import LARGEST_WRITE, MOST_KEPT, Trail, note_made
from offload_shared.errors import StoreUnavailable
from offload_shared.store.audits import AuditRecord


class Audits:
    """A store of records that may be away."""

    def __init__(self) -> None:
        self.stored: list[AuditRecord] = []
        self.writes: list[int] = []
        self.away = False
        self.trail = Trail(self.add)

    async def add(self, records: Sequence[AuditRecord]) -> None:
        if self.away:
            raise StoreUnavailable("away")
        self.writes.append(len(records))
        self.stored += records

    def note(self, method: str = "POST", target: str = "", tenant: str = "", made: Sequence[str] = ()) -> None:
        connection: Any = {"method": method, "path_template": "/v1/jobs", "path_params": {}, "client": ("::1", 1)}
        if made:
            note_made(connection, made)
        self.trail.note(connection, Caller(tenant=tenant, key_id="k"), 202, target)


def test_what_is_only_looked_at_is_not_recorded() -> None:
    audits = Audits()
    for method in ("GET", "HEAD", "POST", "DELETE"):
        audits.note(method)

    asyncio.run(audits.trail.flush())

    assert ["POST", "DELETE"] == [record.method for record in audits.stored]


def test_records_of_one_moment_keep_their_order() -> None:
    audits = Audits()
    for number in range(1000):
        audits.note(target=str(number))

    asyncio.run(audits.trail.flush())

    ids = [record.id for record in audits.stored]
    assert sorted(set(ids)) == ids


def test_while_the_store_is_away_records_wait_and_are_stored_once() -> None:
    audits = Audits()
    audits.note(target="a")
    audits.away = True
    with pytest.raises(StoreUnavailable):
        asyncio.run(audits.trail.flush())
    audits.note(target="b")
    audits.away = False

    for _ in range(2):
        asyncio.run(audits.trail.flush())

    assert ["a", "b"] == [record.target for record in audits.stored]


def test_what_waits_is_bounded_and_written_in_parts(caplog: pytest.LogCaptureFixture) -> None:
    audits = Audits()
    for number in range(MOST_KEPT + 1):
        audits.note(target=str(number))

    asyncio.run(audits.trail.flush())

    assert [LARGEST_WRITE] * (MOST_KEPT // LARGEST_WRITE) == audits.writes
    assert "1" == audits.stored[0].target
    assert "in the log alone" in caplog.text


def test_the_tenant_with_the_most_records_loses_its_oldest_and_no_other_does() -> None:
    audits = Audits()
    audits.note(target="first", tenant="calm")
    for number in range(MOST_KEPT // LARGEST_WRITE + 1):
        audits.note(tenant="loud", made=[f"{number}-{each}" for each in range(LARGEST_WRITE)])
    audits.note(target="last", tenant="calm")

    asyncio.run(audits.trail.flush())

    assert ["first", "last"] == [record.target for record in audits.stored if record.tenant == "calm"]
    assert MOST_KEPT == len(audits.stored)
    assert "10-999" == audits.stored[-2].target


def test_what_comes_and_what_is_dropped_while_others_are_written_is_neither_lost_nor_stored_twice() -> None:
    audits = Audits()
    audits.note(made=[str(each) for each in range(MOST_KEPT)])

    async def slow(records: Sequence[AuditRecord]) -> None:
        if not audits.stored:
            audits.note(tenant="b", target="meanwhile")
        await Audits.add(audits, records)

    audits.trail._add = slow
    asyncio.run(audits.trail.flush())

    assert [*(str(each) for each in range(MOST_KEPT)), "meanwhile"] == [record.target for record in audits.stored]
    assert 0 == audits.trail._number


def test_a_whole_write_is_not_waited_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trail, "FLUSH_SECONDS", 600.0)
    audits = Audits()

    async def scenario() -> None:
        flushing = asyncio.create_task(audits.trail.flush_in_time())
        await asyncio.sleep(0)
        audits.note(made=[str(each) for each in range(LARGEST_WRITE - 1)])
        for _ in range(5):
            await asyncio.sleep(0)
        assert [] == audits.stored

        audits.note()
        await flushing

    asyncio.run(scenario())
    assert LARGEST_WRITE == len(audits.stored)


def test_a_store_that_is_away_is_not_asked_again_for_each_record_that_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trail, "FLUSH_SECONDS", 600.0)
    audits = Audits()
    audits.away = True

    async def scenario() -> None:
        audits.note(made=[str(each) for each in range(LARGEST_WRITE)])
        with pytest.raises(StoreUnavailable):
            await audits.trail.flush_in_time()
        flushing = asyncio.create_task(audits.trail.flush_in_time())
        audits.note()
        for _ in range(5):
            await asyncio.sleep(0)
        assert not flushing.done()
        flushing.cancel()

    asyncio.run(scenario())
