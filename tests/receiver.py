"""A client's server that is told of events: it keeps what comes to it, and answers as the test says."""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import standardwebhooks

from tests.acceptance.stack import until


class Message:
    """A request that came."""

    def __init__(self, path: str, headers: dict[str, str], content: bytes) -> None:
        self.path, self.headers, self.content = path, headers, content
        self.id = headers["webhook-id"]

    def verified(self, secret: str) -> dict[str, Any]:
        """Return what it says, having seen by the public library that whoever has the secret has sent it."""
        return dict(standardwebhooks.Webhook(secret).verify(self.content, self.headers))

    def is_verified(self, secret: str) -> bool:
        try:
            self.verified(secret)
        except standardwebhooks.WebhookVerificationError:
            return False
        return True


class Receiver:
    """Answers with `answers`, the first one first, and with 204 once there are none."""

    def __init__(self, port: int = 0) -> None:
        self.messages = list[Message]()
        self.answers = deque[int]()
        self.go_on = threading.Event()  # until it is set, every request waits for its answer
        self.go_on.set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                status = receiver.answers.popleft() if receiver.answers else 204
                receiver.messages.append(Message(self.path, headers, content))
                receiver.go_on.wait(120)
                self.send_response(status)
                if status in (301, 302, 307):
                    self.send_header("Location", receiver.url("/elsewhere"))
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def url(self, path: str = "/hook") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def of(self, job_id: str, number: int = 1) -> list[Message]:
        """Return what came of a job, once so many messages have."""
        found: list[Message] = until(
            lambda: found if len(found := self._of(job_id)) >= number else None, f"{number} messages of job {job_id}"
        )
        return found

    def _of(self, job_id: str) -> list[Message]:
        return [each for each in list(self.messages) if job_id in each.id]

    def close(self) -> None:
        self.go_on.set()
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def receiving(port: int = 0) -> Iterator[Receiver]:
    """Run a receiver for the length of a `with` block."""
    receiver = Receiver(port)
    try:
        yield receiver
    finally:
        receiver.close()
