"""The queues on RabbitMQ, declared by both services from here alone: other arguments would be refused with 406."""

from typing import Any

#: Priorities 0 to 9, as a job's.
HIGHEST_PRIORITY = 9


def queue_name(queue: str) -> str:
    """Return the name on RabbitMQ of one of our queues."""
    return f"offload.{queue}"


def queue_arguments(queue: str, *, quorum: bool = False) -> dict[str, Any]:
    """Return the keyword arguments of `queue_declare` for a queue.

    Classic and durable with priorities by default, which works alike on RabbitMQ 3.10 to 4.x; a quorum queue, for a
    cluster, has no such argument, and no delivery limit, since a hint dropped at one would wait for the relay.
    """
    arguments = {"x-queue-type": "quorum", "x-delivery-limit": -1} if quorum else {"x-max-priority": HIGHEST_PRIORITY}
    return {"queue": queue_name(queue), "durable": True, "arguments": arguments}
