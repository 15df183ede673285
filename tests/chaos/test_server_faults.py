"""What the servers can be made to suffer, alike in Docker and from installed binaries."""

from collections.abc import Iterator
from contextlib import contextmanager

import pika
import psycopg
import pytest

from tests.servers.session import Servers

BLOCKED_SECONDS = 2


@contextmanager
def channel(amqp_url: str) -> Iterator[pika.adapters.blocking_connection.BlockingChannel]:
    parameters = pika.URLParameters(amqp_url)
    parameters.blocked_connection_timeout = BLOCKED_SECONDS
    with pika.BlockingConnection(parameters) as connection, connection.channel() as opened:
        opened.confirm_delivery()
        yield opened


def test_a_frozen_postgresql_answers_nothing_and_then_goes_on_with_its_connections(
    servers: Servers, postgres_url: str
) -> None:
    with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as connection:
        servers.postgresql.freeze()
        try:
            assert not servers.postgresql.answers()
        finally:
            servers.postgresql.thaw()
        assert (1,) == connection.execute("SELECT 1").fetchone()


def test_terminated_backends_end_the_connections_of_their_database_alone(servers: Servers, postgres_url: str) -> None:
    database = postgres_url.rpartition("/")[2]
    with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as connection:
        servers.postgresql.terminate_backends(database)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    assert servers.postgresql.answers()


def test_a_memory_alarm_keeps_a_message_from_being_taken_until_it_is_cleared(servers: Servers, amqp_url: str) -> None:
    servers.rabbitmq.raise_memory_alarm()
    try:
        with pytest.raises(pika.exceptions.AMQPError), channel(amqp_url) as blocked:
            blocked.basic_publish("", "somewhere", b"")
    finally:
        servers.rabbitmq.clear_memory_alarm()
    with channel(amqp_url) as free:
        free.basic_publish("", "somewhere", b"")


def test_a_broker_that_is_reset_has_nothing_left_but_the_tests_user(servers: Servers, amqp_url: str) -> None:
    vhost = amqp_url.rpartition("/")[2]
    with channel(amqp_url) as opened:
        opened.queue_declare("kept", durable=True)

    servers.rabbitmq.reset()
    with pytest.raises(pika.exceptions.AMQPError), channel(amqp_url):
        pass
    servers.rabbitmq.create_vhost(vhost)

    with channel(amqp_url) as opened, pytest.raises(pika.exceptions.ChannelClosedByBroker):
        opened.queue_declare("kept", passive=True)


def test_a_deleted_queue_is_gone_with_its_messages(servers: Servers, amqp_url: str) -> None:
    vhost = amqp_url.rpartition("/")[2]
    with channel(amqp_url) as opened:
        opened.queue_declare("short-lived", durable=True)
        opened.basic_publish("", "short-lived", b"message")
        servers.rabbitmq.delete_queue(vhost, "short-lived")
        servers.rabbitmq.delete_queue(vhost, "short-lived")  # also when it is not there
        assert 0 == opened.queue_declare("short-lived", durable=True).method.message_count
