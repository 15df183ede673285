import random
import socket
from contextlib import ExitStack, suppress

# Below what kernels hand out to outgoing connections: while a test has stopped a server, no client gets its port by
# chance, and a client that keeps connecting to it cannot end up connected to itself.
_CANDIDATES = range(20_000, 30_000)


def free_ports(count: int) -> list[int]:
    """Choose `count` different TCP ports on which nothing listens.

    The ports are fixed by us rather than by the server or by Docker, so that they outlive a restart.
    """
    ports: list[int] = []
    with ExitStack() as held:
        for port in random.sample(_CANDIDATES, k=len(_CANDIDATES)):
            if len(ports) == count:
                break
            listener = held.enter_context(socket.socket())
            with suppress(OSError):
                listener.bind(("127.0.0.1", port))
                ports.append(port)
    return ports
