"""Tells an orchestrator over HTTP whether the worker lives, and whether jobs can reach it."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from offload_worker.service import WorkerService


class HealthServer:
    """Serves `/health/live` and `/health/ready` on a thread of its own."""

    def __init__(self, service: WorkerService, port: int) -> None:
        def answers(path: str) -> tuple[int, dict[str, object]]:
            return live(service) if path == "/health/live" else ready(service)

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path not in ("/health/live", "/health/ready"):
                    self.send_error(404)
                    return
                status, body = answers(self.path)
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *arguments: object) -> None:
                """Keep probes out of the log."""

        self._server = ThreadingHTTPServer(("0.0.0.0", port), Handler)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End."""
        self._server.shutdown()
        self._server.server_close()


def live(service: WorkerService) -> tuple[int, dict[str, object]]:
    """Return 200 while every thread lives; a worker that answers 503 should be restarted."""
    faults = service.faults()
    return (503 if faults else 200), {"live": not faults, "faults": faults}


def ready(service: WorkerService) -> tuple[int, dict[str, object]]:
    """Return 200 while hints come in from every queue and jobs are taken; beside it, what the worker uses."""
    queues = {queue: consumer.connected for queue, consumer in service.consumers.items()}
    paused = service.breaker.reason
    is_ready = bool(queues) and all(queues.values()) and paused is None and not service.draining
    body: dict[str, object] = {
        "ready": is_ready,
        "queues": queues,
        "paused": paused,
        "draining": service.draining,
        "running": len(service.running.all()),
        **service.usage(),
    }
    return (200 if is_ready else 503), body
