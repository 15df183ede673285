"""Hints on a real RabbitMQ: published at once, again when lost, and never needed for a 202."""

import time
from collections.abc import Iterator
from pathlib import Path

import pika
import pytest
from sqlalchemy import select

from offload_shared.message import decode
from offload_shared.store import hints
from offload_shared.store.schema import job
from offload_shared.topology import queue_arguments, queue_name
from tests.acceptance.stack import until
from tests.api import Api, running_api
from tests.servers.session import Servers


class Broker:
    """Looks into the queues of a test's virtual host."""

    def __init__(self, url: str) -> None:
        self._url = url

    def depth(self, queue: str = "io") -> int:
        with pika.BlockingConnection(pika.URLParameters(self._url)) as connection:
            declared = connection.channel().queue_declare(**queue_arguments(queue))
            return int(declared.method.message_count)

    def take(self, queue: str = "io") -> list[tuple[str, int, int]]:
        """Take all messages; returns job ids, priorities and delivery modes, in the order they come."""
        taken = []
        with pika.BlockingConnection(pika.URLParameters(self._url)) as connection:
            channel = connection.channel()
            while (found := channel.basic_get(queue_name(queue), auto_ack=True))[0]:
                _, properties, body = found
                taken.append((decode(body), properties.priority, properties.delivery_mode))
        return taken

    def delete(self, queue: str = "io") -> None:
        with pika.BlockingConnection(pika.URLParameters(self._url)) as connection:
            connection.channel().queue_delete(queue_name(queue))

    def purge(self, queue: str = "io") -> None:
        with pika.BlockingConnection(pika.URLParameters(self._url)) as connection:
            connection.channel().queue_purge(queue_name(queue))


@pytest.fixture
def broker(amqp_url: str) -> Broker:
    return Broker(amqp_url)


@pytest.fixture
def api(tmp_path: Path, amqp_url: str) -> Iterator[Api]:
    with running_api(tmp_path, "", amqp_url) as running:
        until(lambda: connected(running), "the broker's connection")
        yield running


def connected(api: Api) -> bool:
    return bool(api.http.get("/health/ready").json()["broker"] == "ok")


def test_a_submitted_job_is_hinted_at_once_persistent_and_by_priority(api: Api, broker: Broker) -> None:
    low, high = api.submit(priority=1)["id"], api.submit(priority=8)["id"]
    until(lambda: broker.depth() == 2, "two messages")

    assert [(high, 8, 2), (low, 1, 2)] == broker.take()


def test_a_scheduled_job_is_hinted_when_its_time_has_come(api: Api, broker: Broker) -> None:
    job_id = api.submit(delay_seconds=1.5)["id"]
    assert 0 == broker.depth()

    until(lambda: broker.depth() == 1, "the hint")

    assert "queued" == api.job(job_id)["state"]
    assert [job_id] == [taken for taken, _, _ in broker.take()]


def test_a_confirmed_hint_is_not_repeated_by_the_relay(api: Api, broker: Broker) -> None:
    job_id = api.submit()["id"]
    until(lambda: dispatches(api, job_id) == 1, "the note that it was published")

    assert [job_id] == [taken for taken, _, _ in broker.take()]
    assert set() == hints.queues_due(api.database)


def dispatches(api: Api, job_id: str) -> int:
    statement = select(job.c.dispatches).where(job.c.id == job_id)
    return int(api.database.read(lambda connection: connection.execute(statement).scalar_one()))


def test_without_its_broker_the_api_accepts_jobs_and_hints_at_them_when_it_is_back(
    api: Api, servers: Servers, broker: Broker
) -> None:
    with servers.rabbitmq.down():
        started = time.monotonic()
        accepted = {api.submit()["id"] for _ in range(20)}
        assert time.monotonic() - started < 10
        ready = api.http.get("/health/ready")
        assert (200, "unreachable") == (ready.status_code, ready.json()["broker"])

    until(lambda: connected(api), "the broker's connection")
    until(lambda: broker.depth() >= 20, "the hints")
    assert accepted == {taken for taken, _, _ in broker.take()}


def test_an_api_that_starts_without_its_broker_says_so_once_and_connects_later(
    tmp_path: Path, servers: Servers, amqp_url: str, broker: Broker
) -> None:
    with servers.rabbitmq.down(), running_api(tmp_path, "", amqp_url) as api:
        job_id = api.submit()["id"]
        time.sleep(1.5)  # for several attempts to connect
        log = api.process.log.read_text()
        assert 1 == log.count("is not available and is called again")
        assert "Traceback" not in log
        servers.rabbitmq.start()
        until(lambda: broker.depth() == 1, "the hint")

    assert [job_id] == [taken for taken, _, _ in broker.take()]


def test_a_deleted_queue_is_made_again_and_all_that_waits_hinted_at_again(api: Api, broker: Broker) -> None:
    first = [api.submit()["id"] for _ in range(5)]
    until(lambda: all(dispatches(api, job_id) == 1 for job_id in first), "the notes that they were published")
    broker.delete()

    last = api.submit()["id"]

    until(lambda: broker.depth() >= 6, "the hints")
    assert {*first, last} == {taken for taken, _, _ in broker.take()}


def test_a_broker_that_lost_its_messages_gets_them_again_on_reconnecting(
    api: Api, servers: Servers, broker: Broker
) -> None:
    accepted = {api.submit()["id"] for _ in range(10)}
    until(lambda: all(dispatches(api, job_id) == 1 for job_id in accepted), "the notes that they were published")
    broker.purge()

    servers.rabbitmq.restart()

    until(lambda: broker.depth() >= 10, "the hints")
    assert accepted == {taken for taken, _, _ in broker.take()}


def test_an_honest_backlog_is_not_published_again_when_the_broker_comes_back(
    api: Api, servers: Servers, broker: Broker
) -> None:
    accepted = {api.submit()["id"] for _ in range(10)}
    until(lambda: all(dispatches(api, job_id) == 1 for job_id in accepted), "the notes that they were published")

    servers.rabbitmq.restart()
    until(lambda: connected(api), "the broker's connection")
    last = api.submit()["id"]
    until(lambda: dispatches(api, last) == 1, "the note that it was published")

    assert 11 == broker.depth()
