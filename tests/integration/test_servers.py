"""Claims about the servers that every test beside the unit tests stands on."""

import pika
import psycopg
import pytest

from tests.servers.session import Servers

QUEUE = "kept"
DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}


def connect_to_broker(amqp_url: str) -> pika.BlockingConnection:
    return pika.BlockingConnection(pika.URLParameters(amqp_url))


def connect_to_database(postgres_url: str) -> psycopg.Connection:
    return psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True)


def keep_a_message(amqp_url: str) -> None:
    with connect_to_broker(amqp_url) as connection, connection.channel() as channel:
        channel.queue_declare(QUEUE, durable=True)
        channel.confirm_delivery()
        persistent = pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent)
        channel.basic_publish("", QUEUE, b"still here", properties=persistent)


def take_the_message(amqp_url: str) -> bytes | None:
    with connect_to_broker(amqp_url) as connection, connection.channel() as channel:
        body: bytes | None = channel.basic_get(QUEUE, auto_ack=True)[2]
        return body


def keep_a_row(postgres_url: str) -> None:
    with connect_to_database(postgres_url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 'still here' AS body")


def read_the_row(postgres_url: str) -> str:
    with connect_to_database(postgres_url) as connection:
        row = connection.execute("SELECT body FROM kept").fetchone()
        assert row is not None
        return str(row[0])


def tables_of(postgres_url: str) -> int:
    with connect_to_database(postgres_url) as connection:
        row = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
        assert row is not None
        return int(row[0])


@pytest.mark.parametrize("how", ["restart", "kill"])
def test_rabbitmq_comes_back_at_its_address_with_its_messages(servers: Servers, amqp_url: str, how: str) -> None:
    keep_a_message(amqp_url)
    # A broker killed within seconds of a queue's declaration may come back without the queue: only an orderly end
    # is sure to write such definitions to disk.
    servers.rabbitmq.restart()

    getattr(servers.rabbitmq, how)()
    servers.rabbitmq.start()

    assert take_the_message(amqp_url) == b"still here"


@pytest.mark.parametrize("how", ["restart", "kill"])
def test_postgresql_comes_back_at_its_address_with_its_rows(servers: Servers, postgres_url: str, how: str) -> None:
    keep_a_row(postgres_url)

    getattr(servers.postgresql, how)()
    servers.postgresql.start()

    assert read_the_row(postgres_url) == "still here"


def test_rabbitmq_refuses_connections_while_it_is_down(servers: Servers, amqp_url: str) -> None:
    with servers.rabbitmq.down(), pytest.raises(pika.exceptions.AMQPConnectionError):
        connect_to_broker(amqp_url)

    connect_to_broker(amqp_url).close()


def test_postgresql_refuses_connections_while_it_is_down(servers: Servers, postgres_url: str) -> None:
    with servers.postgresql.down(), pytest.raises(psycopg.OperationalError):
        connect_to_database(postgres_url)

    connect_to_database(postgres_url).close()


def test_starting_servers_that_run_leaves_their_connections_open(
    servers: Servers, amqp_url: str, postgres_url: str
) -> None:
    with connect_to_broker(amqp_url) as to_broker, connect_to_database(postgres_url) as to_database:
        servers.start()

        to_broker.process_data_events()
        assert to_broker.is_open
        assert to_database.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("turn", ["first", "second"])
def test_a_virtual_host_is_empty_when_a_test_gets_it(amqp_url: str, turn: str) -> None:
    with connect_to_broker(amqp_url) as connection:
        with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="NOT_FOUND"):
            connection.channel().queue_declare(QUEUE, passive=True)
        connection.channel().queue_declare(QUEUE, durable=True)


@pytest.mark.parametrize("turn", ["first", "second"])
def test_a_database_is_empty_when_a_test_gets_it(postgres_url: str, turn: str) -> None:
    assert tables_of(postgres_url) == 0

    keep_a_row(postgres_url)


def test_postgresql_keeps_what_makes_a_commit_durable(postgres_url: str) -> None:
    with connect_to_database(postgres_url) as connection:
        settings = connection.execute("SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", [list(DURABLE)])
        assert dict(settings.fetchall()) == DURABLE
