"""Which deliveries are made when: by servers that the test plays, on SQLite with a clock that it sets."""

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from offload_api.deliverer import (
    JITTER,
    MOST_AT_ONCE,
    MOST_OF_TARGET,
    SLACK_SECONDS,
    UNKNOWN,
    Deliverer,
    pause_seconds,
)
from offload_api.settings import ApiSettings
from offload_api.store import Store
from offload_shared.errors import RequestFailed, StoreUnavailable
from offload_shared.job import Succeeded, Usage
from offload_shared.outbound import MOST_LOOKUPS
from offload_shared.store import deletion, deliveries, jobs, leases, webhooks
from offload_shared.store.database import Database
from offload_shared.store.deletion import DeleteAnswer
from offload_shared.store.deliveries import WantedDeliveries
from offload_shared.store.migrate import migrate
from offload_shared.store.webhooks import WebhookPlan
from offload_shared.webhook import Delivery, DeliveryState, EventType, Webhook
from tests.jobs import running

START = datetime(2026, 3, 2, 12, tzinfo=UTC)
SETTINGS = ApiSettings(webhook_timeout_seconds=10, webhook_attempts=4, webhook_retry_seconds=5)


class Servers:
    """Answers as it is told, by the URL: a status, or None for no answer at all; and may be told to hang."""

    def __init__(self) -> None:
        self.answers: dict[str, int | None] = {}
        self.told = list[tuple[str, str]]()
        self.at_once = 0
        self.most_at_once: dict[str, int] = {}
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.hanging = set[str]()
        self._under_way: dict[str, int] = {}
        self._news = asyncio.Event()

    async def until_told(self, number: int, url: str) -> None:
        """Wait until so many messages have come to a URL."""
        while sum(each == url for each, _ in self.told) < number:
            self._news.clear()
            await self._news.wait()

    async def post(self, url: str, *, headers: Mapping[str, str], content: bytes, seconds: float) -> int:
        self.told.append((url, headers["webhook-id"]))
        self._news.set()
        self._under_way[url] = self._under_way.get(url, 0) + 1
        self.most_at_once[url] = max(self.most_at_once.get(url, 0), self._under_way[url])
        self.at_once = max(self.at_once, sum(self._under_way.values()))
        try:
            if not self.hanging or url in self.hanging:
                await self.go_on.wait()
        finally:
            self._under_way[url] -= 1
        status = self.answers.get(url, 204)
        if status is None:
            raise RequestFailed("no answer")
        return status


class World:
    """A store with a clock of its own, and the deliverers of API processes."""

    def __init__(self, database: Database, clock: list[float]) -> None:
        self.database = database
        self._clock = clock
        self.store = Store(database, threads=2, answer_seconds=30)
        self.servers = Servers()

    def later(self, seconds: float) -> None:
        self._clock[0] += seconds

    def deliverer(self, settings: ApiSettings = SETTINGS) -> Deliverer:
        return Deliverer(self.store, self.servers.post, settings, clock=lambda: self._clock[0])

    def webhook(self, url: str = "https://a.example/", *events: EventType) -> Webhook:
        plan = WebhookPlan(url=url, events=events or tuple(EventType))
        made = webhooks.create(self.database, plan, tenant="", most=1000)
        assert made is not None
        return made

    def end(self, **options: Any) -> str:
        lease = running(self.database, **options)
        leases.finish(self.database, lease, Succeeded(b"{}"), Usage())
        return lease[0]

    def log(self, webhook: Webhook | None) -> list[Delivery]:
        wanted = WantedDeliveries(webhook_id=webhook.id if webhook else None)
        return deliveries.page(self.database, wanted, size=1000)


async def delivered(deliverer: Deliverer) -> None:
    """Make a step, and let all that it has begun come to its end."""
    await deliverer.step()
    await deliverer.end()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    clock = [START.timestamp()]
    database = Database(f"sqlite:///{tmp_path / 'offload.db'}", clock=lambda: clock[0])
    migrate(database)
    world = World(database, clock)
    yield world
    world.store.close()


def test_a_delivery_is_given_up_after_its_attempts(world: World) -> None:
    webhook = world.webhook()
    world.servers.answers[webhook.url] = None
    world.end()

    for attempt in range(1, 5):
        asyncio.run(delivered(world.deliverer()))
        [found] = world.log(webhook)
        assert attempt == found.attempt == len(found.tries)
        assert (DeliveryState.PENDING if attempt < 4 else DeliveryState.FAILED) == found.state
        world.later(1000)

    asyncio.run(delivered(world.deliverer()))
    assert 4 == len(world.servers.told)
    assert {"no answer"} == {each.error for each in found.tries}


def test_the_pause_before_the_next_attempt_grows_and_all_of_them_take_about_a_day() -> None:
    settings = ApiSettings()
    pauses = [
        pause_seconds(failures, settings.webhook_retry_seconds) for failures in range(1, settings.webhook_attempts)
    ]

    assert 5 * (1 - JITTER) <= pauses[0] <= 5 * (1 + JITTER)
    assert 20 * (1 - JITTER) <= pauses[1] <= 20 * (1 + JITTER)
    assert 16 < sum(pauses) / 3600 < 28
    assert len(set(pauses)) == len(pauses)


def test_a_delivery_waits_for_its_next_attempt(world: World) -> None:
    webhook = world.webhook()
    world.servers.answers[webhook.url] = 500
    world.end()
    asyncio.run(delivered(world.deliverer()))

    world.later(5 * (1 - JITTER) - 0.1)
    asyncio.run(delivered(world.deliverer()))
    assert 1 == len(world.servers.told)
    world.later(5 * 2 * JITTER + 0.2)
    asyncio.run(delivered(world.deliverer()))
    assert 2 == len(world.servers.told)


def test_what_was_taken_and_never_settled_is_taken_again_once_its_lease_is_over(world: World) -> None:
    webhook = world.webhook()
    job_id = world.end()
    lease = SETTINGS.webhook_timeout_seconds + SLACK_SECONDS
    [taken] = deliveries.take(world.database, {webhook.id: 8}, lease_seconds=lease)

    world.later(lease - 1)
    asyncio.run(delivered(world.deliverer()))
    assert [] == world.servers.told
    world.later(2)
    asyncio.run(delivered(world.deliverer()))

    assert [(webhook.url, f"{job_id}-succeeded")] == world.servers.told
    assert not deliveries.settle(
        world.database, taken, world.log(webhook)[0].tries[0], DeliveryState.FAILED, payload=None
    ), "whoever was too late says nothing about it"
    assert DeliveryState.DELIVERED == world.log(webhook)[0].state


def test_an_answer_whose_note_is_lost_is_asked_for_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    webhook = world.webhook()
    world.end()

    def away(*_: Any, **__: Any) -> None:
        raise StoreUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(deliveries, "settle", away)
        asyncio.run(delivered(world.deliverer()))
    assert DeliveryState.PENDING == world.log(webhook)[0].state
    world.later(60)
    asyncio.run(delivered(world.deliverer()))

    assert 2 == len(world.servers.told)
    assert 1 == len(set(world.servers.told))
    assert DeliveryState.DELIVERED == world.log(webhook)[0].state


def test_each_attempt_that_nothing_is_heard_of_is_taken_again_after_twice_the_time(world: World) -> None:
    webhook = world.webhook()
    world.end()

    for lease in (30, 60, 120):
        assert 1 == len(deliveries.take(world.database, {webhook.id: 8}, lease_seconds=30))
        world.later(lease - 1)
        assert [] == deliveries.take(world.database, {webhook.id: 8}, lease_seconds=30)
        world.later(2)


def test_attempts_that_nothing_is_heard_of_are_as_many_as_a_delivery_may_have(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook = world.webhook()
    world.end()

    def away(*_: Any, **__: Any) -> None:
        raise StoreUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(deliveries, "settle", away)
        for _ in range(4):
            asyncio.run(delivered(world.deliverer()))
            world.later(86_400)
    asyncio.run(delivered(world.deliverer()))

    assert 4 == len(world.servers.told)
    [found] = world.log(webhook)
    assert (DeliveryState.FAILED, UNKNOWN) == (found.state, found.tries[-1].error)
    deliveries.replay(world.database, found.id, webhook_id=webhook.id)
    asyncio.run(delivered(world.deliverer()))
    assert DeliveryState.DELIVERED == world.log(webhook)[0].state


@pytest.mark.parametrize("made", [False, True])
def test_what_could_not_be_made_ready_in_time_is_not_sent_but_taken_again(
    world: World, monkeypatch: pytest.MonkeyPatch, made: bool
) -> None:
    webhook = world.webhook()
    job_id = world.end()
    if made:
        asyncio.run(world.deliverer().make(job_id, ""))

    with monkeypatch.context() as patch:
        patch.setattr("offload_api.deliverer.SLACK_SECONDS", -1)
        asyncio.run(delivered(world.deliverer()))
    assert [] == world.servers.told
    world.later(60)
    asyncio.run(delivered(world.deliverer()))

    assert 1 == len(world.servers.told)
    assert DeliveryState.DELIVERED == world.log(webhook)[0].state


def test_what_came_of_an_attempt_is_noted_before_others_are_made_ready(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook = world.webhook()
    for _ in range(3):
        world.end()
    get, settle, calls = jobs.get, deliveries.settle, list[str]()
    go_on, noted = threading.Event(), threading.Event()

    def slow(database: Database, job_id: str, **options: Any) -> Any:
        calls.append(job_id)
        assert len(calls) == 1 or go_on.wait(60)
        return get(database, job_id, **options)

    def noting(*arguments: Any, **options: Any) -> bool:
        answer = settle(*arguments, **options)
        noted.set()
        return answer

    monkeypatch.setattr(jobs, "get", slow)
    monkeypatch.setattr(deliveries, "settle", noting)

    async def scenario() -> None:
        deliverer = world.deliverer()
        step = asyncio.create_task(deliverer.step())
        assert await asyncio.to_thread(noted.wait, 60)
        states = Counter(each.state for each in world.log(webhook))
        assert {DeliveryState.DELIVERED: 1, DeliveryState.PENDING: 2} == states
        go_on.set()
        await step
        await deliverer.end()

    asyncio.run(scenario())
    assert 3 == len(world.servers.told)


def test_a_mistake_of_ours_is_tried_again_no_more_often_than_other_failures(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook = world.webhook()
    world.end()

    def broken(*_: Any) -> bytes:
        raise ValueError("broken")

    monkeypatch.setattr("offload_api.deliverer.event_of", broken)
    for _ in range(6):
        asyncio.run(delivered(world.deliverer()))
        world.later(1000)

    [found] = world.log(webhook)
    assert (DeliveryState.FAILED, 4) == (found.state, found.attempt)


def test_one_server_is_sent_only_so_much_at_once_and_one_that_fails_less(world: World) -> None:
    webhook = world.webhook()
    for _ in range(3 * MOST_OF_TARGET):
        world.end()

    async def well() -> None:
        world.servers.go_on.clear()
        deliverer = world.deliverer()
        step = asyncio.create_task(deliverer.step())
        await world.servers.until_told(MOST_OF_TARGET, webhook.url)
        world.servers.go_on.set()
        await step
        await deliverer.end()

    asyncio.run(well())
    assert (3 * MOST_OF_TARGET, MOST_OF_TARGET) == (len(world.servers.told), world.servers.most_at_once[webhook.url])

    async def failing() -> None:
        deliverer = world.deliverer()
        world.servers.answers[webhook.url] = 500
        world.end()
        await delivered(deliverer)
        world.servers.most_at_once.clear()
        for _ in range(5):
            world.end()
        await delivered(deliverer)

    asyncio.run(failing())
    assert 1 == world.servers.most_at_once[webhook.url]


def test_servers_that_hang_take_no_more_than_the_room_there_is_and_leave_the_others_theirs(world: World) -> None:
    hanging = [f"https://{number}.example/" for number in range(3)]
    for url in (*hanging, "https://well.example/"):
        world.webhook(url)
    for _ in range(2 * MOST_OF_TARGET):
        world.end()
    world.servers.hanging = set(hanging)

    async def scenario() -> None:
        world.servers.go_on.clear()
        deliverer = world.deliverer()
        step = asyncio.create_task(deliverer.step())
        await world.servers.until_told(2 * MOST_OF_TARGET, "https://well.example/")
        assert 3 * MOST_OF_TARGET >= sum(url in hanging for url, _ in world.servers.told)
        world.servers.go_on.set()
        await step
        await deliverer.end()

    asyncio.run(scenario())


def test_tenants_whose_servers_hang_leave_room_for_the_others(world: World) -> None:
    hanging = {tenant: [f"https://{number}.{tenant}.example/" for number in range(30)] for tenant in ("a", "b")}
    for tenant, urls in hanging.items():
        for url in urls:
            world.end(tenant=tenant, callback_url=url)
            world.end(tenant=tenant, callback_url=url)
    for _ in range(MOST_OF_TARGET):
        world.end(tenant="c", callback_url="https://well.example/")
    world.servers.hanging = {url for urls in hanging.values() for url in urls}

    async def scenario() -> None:
        world.servers.go_on.clear()
        deliverer = world.deliverer()
        step = asyncio.create_task(deliverer.step())
        await world.servers.until_told(MOST_OF_TARGET, "https://well.example/")
        for urls in hanging.values():
            assert sum(url in urls for url, _ in world.servers.told) <= MOST_AT_ONCE / 2
        world.servers.go_on.set()
        await step
        await deliverer.end()

    asyncio.run(scenario())
    assert 2 * 2 * 30 + MOST_OF_TARGET == len(world.servers.told)


def test_no_more_are_under_way_than_a_process_may_have(world: World) -> None:
    for number in range(20):
        world.end(callback_url=f"https://{number}.example/")
    for number in range(20):
        for _ in range(MOST_OF_TARGET):
            world.end(callback_url=f"https://{number}.example/")

    asyncio.run(delivered(world.deliverer()))

    assert 20 * (MOST_OF_TARGET + 1) == len(world.servers.told)
    assert world.servers.at_once <= MOST_AT_ONCE


def test_there_is_a_look_up_for_each_that_is_under_way() -> None:
    assert MOST_LOOKUPS >= MOST_AT_ONCE


def test_every_server_has_its_turn_however_many_there_are(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "MOST_TARGETS", 4)
    urls = {f"https://{number}.example/" for number in range(11)}
    for url in urls:
        world.end(callback_url=url)

    deliverer = world.deliverer()

    async def scenario() -> None:
        for _ in range(4):
            await delivered(deliverer)

    asyncio.run(scenario())
    assert urls == {url for url, _ in world.servers.told}


def test_what_is_on_its_way_to_a_webhook_that_is_disabled_or_removed_is_given_up(world: World) -> None:
    webhook, gone = world.webhook(), world.webhook("https://gone.example/")
    world.end()
    webhooks.remove(world.database, gone.id)
    webhooks.change(
        world.database, webhook.id, changed=lambda plan: WebhookPlan(url=plan.url, events=(), enabled=False)
    )

    asyncio.run(delivered(world.deliverer()))

    assert [] == world.servers.told
    given_up = [each for of in (webhook, gone) for each in world.log(of)]
    assert [(DeliveryState.FAILED, [deliveries.NOT_HEARD])] * 2 == [
        (each.state, [made.error for made in each.tries]) for each in given_up
    ]
    assert all(each.finished_at == each.tries[0].at for each in given_up)


def test_however_much_is_given_up_it_is_a_batch_at_a_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "BATCH", 3)
    gone = [world.webhook(f"https://{number}.example/") for number in range(2)]
    for _ in range(4):
        world.end()
    for webhook in gone:
        webhooks.remove(world.database, webhook.id)

    for expected in (5, 2, 0):
        deliveries.take(world.database, {webhook.id: 8 for webhook in gone}, lease_seconds=30)
        logged = [each.state for webhook in gone for each in world.log(webhook)]
        assert expected == logged.count(DeliveryState.PENDING)


@pytest.mark.parametrize("moved", [False, True])
def test_410_disables_a_webhook_unless_it_leads_elsewhere_by_now(world: World, moved: bool) -> None:
    webhook = world.webhook()
    world.servers.answers[webhook.url] = 410
    world.end()

    async def scenario() -> None:
        world.servers.go_on.clear()
        deliverer = world.deliverer()
        step = asyncio.create_task(deliverer.step())
        await world.servers.until_told(1, webhook.url)
        if moved:
            plan = WebhookPlan(url="https://new.example/", events=tuple(EventType))
            webhooks.change(world.database, webhook.id, changed=lambda _: plan)
        world.servers.go_on.set()
        await step
        await deliverer.end()

    asyncio.run(scenario())
    found = webhooks.get(world.database, webhook.id)
    assert found is not None
    assert moved is (found.disabled_at is None)
    world.later(1000)
    asyncio.run(delivered(world.deliverer()))
    urls = [webhook.url, "https://new.example/"] if moved else [webhook.url]
    assert urls == [url for url, _ in world.servers.told]
    assert (DeliveryState.DELIVERED if moved else DeliveryState.FAILED) == world.log(webhook)[0].state


def test_a_job_stays_until_what_is_told_of_it_is_made(world: World) -> None:
    webhook = world.webhook()
    job_id = world.end(result_ttl_seconds=1)
    world.later(10)

    assert DeleteAnswer.NOT_TOLD == deletion.delete_job(world.database, job_id)
    assert 0 == deletion.expire(world.database)
    asyncio.run(world.deliverer().make(job_id, ""))
    assert 1 == deletion.expire(world.database)
    asyncio.run(delivered(world.deliverer()))

    assert jobs.get(world.database, job_id) is None
    assert DeliveryState.DELIVERED == world.log(webhook)[0].state


def test_deliveries_are_forgotten_once_they_ended_long_ago(world: World) -> None:
    # Their ids have the time of this machine in them, so the store's clock is moved to it.
    webhook, failing = world.webhook(), world.webhook("https://failing.example/")
    world.servers.answers[failing.url] = 500
    world.later(datetime.now(UTC).timestamp() - START.timestamp())
    world.end()
    asyncio.run(delivered(world.deliverer()))

    world.later(86_400)
    assert 0 == deliveries.forget(world.database, days=2)
    world.later(2 * 86_400)
    assert 1 == deliveries.forget(world.database, days=2)

    assert ([], 1) == (world.log(webhook), len(world.log(failing)))


def test_a_job_of_which_nobody_is_told_leaves_nothing(world: World) -> None:
    world.webhook("https://a.example/", EventType.FAILED)
    world.end()
    plan = WebhookPlan(url="https://b.example/", events=tuple(EventType))
    webhooks.create(world.database, plan, tenant="another", most=1)
    world.end()

    assert {} == deliveries.due_targets(world.database).due
