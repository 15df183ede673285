"""Tells an orchestrator over HTTP whether the worker lives, whether jobs can reach it, and what it has counted."""

import json
import threading
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from offload_shared.errors import SettingsInvalid
from offload_worker.service import WorkerService

IDLE_SECONDS = 10.0  # a connection that says nothing for so long holds its thread no longer


class HealthServer:
    """Serves `/health/live`, `/health/ready` and `/metrics` on a thread of its own, once `serve` has been called.

    Raises `SettingsInvalid` when it cannot listen there: before the worker has taken a job.
    """

    def __init__(self, host: str, port: int) -> None:
        try:
            self._server = ThreadingHTTPServer((host, port), BaseHTTPRequestHandler)
        except OSError as error:
            where = f"OFFLOAD_HEALTH_HOST is {host!r} and OFFLOAD_HEALTH_PORT {port}"
            raise SettingsInvalid(f"{where}: cannot listen there: {error.strerror}") from None
        self.port = self._server.server_port

    def serve(self, service: WorkerService) -> None:
        """Begin to answer."""
        self._server.RequestHandlerClass = partial(_Handler, service)
        threading.Thread(target=self._server.serve_forever, name="health", daemon=True).start()

    def close(self) -> None:
        """End."""
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    timeout = IDLE_SECONDS

    def __init__(self, service: WorkerService, *arguments: Any) -> None:
        self._service = service
        super().__init__(*arguments)

    def do_GET(self) -> None:
        if self.path == METRICS:
            self._answer(HTTPStatus.OK, CONTENT_TYPE_PLAIN_0_0_4, self._service.metrics.render())
        elif check := CHECKS.get(self.path):
            status, body = check(self._service)
            self._answer(status, "application/json", json.dumps(body).encode())
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def _answer(self, status: int, media_type: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        """Keep probes out of the log."""


def live(service: WorkerService) -> tuple[int, dict[str, object]]:
    """Return 200 while every thread lives; a worker that answers 503 should be restarted."""
    faults = service.faults()
    return (503 if faults else 200), {"live": not faults, "faults": faults}


def ready(service: WorkerService) -> tuple[int, dict[str, object]]:
    """Return 200 while hints come in, the store answers and jobs are taken; beside it, what the worker uses."""
    queues = {queue: consumer.connected for queue, consumer in service.consumers.items()}
    paused = service.breaker.reason
    store = service.reaches_store()
    is_ready = bool(queues) and all(queues.values()) and store and paused is None and not service.draining
    body: dict[str, object] = {
        "ready": is_ready,
        "queues": queues,
        "store": store,
        "paused": paused,
        "draining": service.draining,
        "running": len(service.running.all()),
        **service.usage(),
    }
    return (200 if is_ready else 503), body


METRICS = "/metrics"
CHECKS = {"/health/live": live, "/health/ready": ready}
