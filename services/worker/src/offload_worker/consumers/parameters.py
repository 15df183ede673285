"""How RabbitMQ is reached."""

import pika

from offload_shared.errors import SettingsInvalid
from offload_shared.settings import without_password

HEARTBEAT_SECONDS = 30
BLOCKED_SECONDS = 30


def broker_parameters(url: str) -> pika.URLParameters:
    """Return how to reach RabbitMQ, with the limits pika does not set by itself; raises `SettingsInvalid`."""
    try:
        parameters = pika.URLParameters(url)
    except (ValueError, TypeError, IndexError) as error:
        raise SettingsInvalid(f"OFFLOAD_BROKER_URL is {without_password(url)!r}: {error}") from None
    parameters.heartbeat = HEARTBEAT_SECONDS
    parameters.blocked_connection_timeout = BLOCKED_SECONDS
    parameters.socket_timeout = parameters.stack_timeout = 5
    return parameters
