import socket
from urllib.parse import quote

import httpx2

from tests.servers.server import Process, Server

USER = "offload"
_AMQP_HEADER = b"AMQP\x00\x00\x09\x01"
_METHOD_FRAME = b"\x01"


class RabbitMQ(Server):
    """A broker; virtual hosts are made and dropped through its management API, alike in Docker and locally."""

    name = "RabbitMQ"

    def __init__(self, process: Process, *, host: str, amqp_port: int, management_port: int, password: str) -> None:
        super().__init__(process)
        self.host = host
        self.amqp_port = amqp_port
        self._password = password
        # Without kept-alive connections: a restart between two calls would leave the second one a dead connection.
        self._management = httpx2.Client(
            base_url=f"http://{host}:{management_port}/api",
            auth=(USER, password),
            limits=httpx2.Limits(max_keepalive_connections=0),
            timeout=30,
            trust_env=False,
        )

    def amqp_url(self, vhost: str) -> str:
        return f"amqp://{USER}:{self._password}@{self.host}:{self.amqp_port}/{quote(vhost, safe='')}"

    def create_vhost(self, vhost: str) -> None:
        """Create an empty virtual host on which the tests' user may do everything."""
        self._call("PUT", f"/vhosts/{quote(vhost, safe='')}")
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        self._call("PUT", f"/permissions/{quote(vhost, safe='')}/{USER}", json=everything)

    def drop_vhost(self, vhost: str) -> None:
        """Drop a virtual host with its queues, and close its connections."""
        self._call("DELETE", f"/vhosts/{quote(vhost, safe='')}")

    def delete_queue(self, vhost: str, queue: str) -> None:
        """Delete a queue with its messages, whoever consumes it; one that is not there is left alone."""
        path = f"/queues/{quote(vhost, safe='')}/{quote(queue, safe='')}"
        answer = self._management.delete(path)
        if answer.status_code != httpx2.codes.NOT_FOUND:
            answer.raise_for_status()

    def queue_depths(self, vhost: str) -> dict[str, int]:
        """Return how many messages each queue of a virtual host holds, as of a few seconds ago."""
        queues = self._call("GET", f"/queues/{quote(vhost, safe='')}").json()
        return {queue["name"]: queue.get("messages", 0) for queue in queues}

    def reset(self) -> None:
        """Lose everything, the virtual hosts of others too, as a node set up anew has; the tests' user stays."""
        for command in ("stop_app", "reset", "start_app", "await_startup"):
            self._process.execute("rabbitmqctl", command)
        if USER not in self._process.execute("rabbitmqctl", "list_users"):
            self._process.execute("rabbitmqctl", "add_user", USER, self._password)
        self._process.execute("rabbitmqctl", "set_user_tags", USER, "administrator")
        self.wait_until_it_answers()

    def raise_memory_alarm(self) -> None:
        """Let the broker take its memory for used up: it reads no more from connections that publish."""
        self._process.execute("rabbitmqctl", "set_vm_memory_high_watermark", "0")

    def clear_memory_alarm(self) -> None:
        self._process.execute("rabbitmqctl", "set_vm_memory_high_watermark", "0.6")

    def remove(self) -> None:
        super().remove()
        self._management.close()

    def answers(self) -> bool:
        try:
            return self._speaks_amqp() and self._management.get("/overview").is_success
        except (OSError, httpx2.TransportError):
            return False

    def version(self) -> str:
        return str(self._call("GET", "/overview").json()["rabbitmq_version"])

    def _speaks_amqp(self) -> bool:
        # An open port alone proves nothing: Docker's proxy accepts before the broker listens.
        with socket.create_connection((self.host, self.amqp_port), timeout=5) as connection:
            connection.sendall(_AMQP_HEADER)
            return connection.recv(1) == _METHOD_FRAME

    def _call(self, method: str, path: str, json: object = None) -> httpx2.Response:
        return self._management.request(method, path, json=json).raise_for_status()
