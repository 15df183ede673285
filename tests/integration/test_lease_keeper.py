"""Claims about what a worker tells the store of the attempts that it runs, on both databases."""

import time

import pytest

from offload_shared import tasks
from offload_shared.store import leases
from offload_shared.store.database import Database
from offload_worker.lease import LeaseKeeper
from offload_worker.running import Running, RunningAttempt, Stop
from tests.jobs import WORKER, added, claimed


@pytest.mark.parametrize(
    ("stop", "given_up", "kept"),
    [(None, False, True), (Stop.CANCELLED, False, True), (Stop.FENCED, False, False), (Stop.CANCELLED, True, False)],
)
def test_a_lease_is_prolonged_until_its_attempt_is_fenced_or_given_up(
    database: Database, monkeypatch: pytest.MonkeyPatch, *, stop: Stop | None, given_up: bool, kept: bool
) -> None:
    job = claimed(database, added(database))
    assert job is not None
    attempt = RunningAttempt(job, tasks.registry()[job.task], leased_at=time.monotonic(), lease_seconds=30)
    if stop:
        attempt.stop(stop)
    if given_up:
        attempt.give_up()
    prolonged: list[leases.Lease] = []
    heartbeat = leases.heartbeat

    def noted(database: Database, held: list[leases.Lease], *, lease_seconds: float) -> leases.Heartbeat:
        prolonged.extend(held)
        return heartbeat(database, held, lease_seconds=lease_seconds)

    monkeypatch.setattr(leases, "heartbeat", noted)
    running = Running()
    with running.watch(attempt):
        LeaseKeeper(database, running, worker=WORKER, lease_seconds=30).tick()

    assert kept == (attempt.lease in prolonged)
