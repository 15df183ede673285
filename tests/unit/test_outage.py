"""What a worker says of its broker, whatever the number of its queues."""

import pytest
from pika.adapters.utils.connection_workflow import AMQPConnectorSocketConnectError
from pika.exceptions import AMQPConnectionError

from offload_worker.consumers.rabbitmq import Outage

REFUSED = AMQPConnectionError(AMQPConnectorSocketConnectError(ConnectionRefusedError(111, "Connection refused")))


def test_an_outage_is_said_once_with_its_cause_and_its_end_once_all_queues_are_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    outage = Outage("amqp://me:***@h")

    for queue in ("cpu", "io", "cpu"):
        outage.lost(queue, REFUSED)
    outage.connected("cpu")
    assert 1 == len(caplog.messages)
    outage.connected("io")
    outage.connected("io")

    said, back = caplog.messages
    assert "the broker at amqp://me:***@h is not available" in said
    assert "Connection refused" in said
    assert "the broker at amqp://me:***@h is back" == back
