"""What a process keeps of the audit trail until the store has it."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from offload_api.access import Caller
from offload_api.trail import LARGEST_WRITE, MOST_KEPT, Trail
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

    def note(self, method: str = "POST", target: str = "") -> None:
        connection = {"method": method, "path_template": "/v1/jobs", "path_params": {}, "client": ("::1", 1)}
        self.trail.note(cast("Any", connection), Caller(key_id="k"), 202, target)


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

    ids = [record.id for record in audits.trail._kept]

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
