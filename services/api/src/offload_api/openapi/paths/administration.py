"""What OpenAPI says of queues, workers and metrics."""

from typing import Any

from offload_api.openapi.components import ref
from offload_api.openapi.operations import operation, readable
from offload_api.openapi.parameters import QUEUE_NAME, TEXT
from offload_api.openapi.responses import answer

PATHS: dict[str, dict[str, Any]] = {
    "/v1/queues": readable(
        operation(
            "listQueues",
            "administration",
            "List the queues: whether each is paused, and how many of its jobs have not ended.",
            {200: answer("Every queue.", ref("QueueList"))},
            503,
        )
    ),
    "/v1/queues/{name}/pause": {
        "post": operation(
            "pauseQueue",
            "administration",
            "Let no job of a queue start any more. Jobs are still accepted, and those that run go on.",
            {200: answer("It is paused.", ref("QueueView"))},
            *(404, 503),
            parameters=(QUEUE_NAME,),
        ),
    },
    "/v1/queues/{name}/resume": {
        "post": operation(
            "resumeQueue",
            "administration",
            "Let jobs of a queue start again.",
            {200: answer("It is not paused.", ref("QueueView"))},
            *(404, 503),
            parameters=(QUEUE_NAME,),
        ),
    },
    "/v1/workers": readable(
        operation(
            "listWorkers",
            "administration",
            "List the workers that live, each with the jobs that it runs.",
            {200: answer("Every worker.", ref("WorkerList"))},
            503,
        )
    ),
    "/metrics": readable(
        operation(
            "getMetrics",
            "administration",
            "Read what this process has counted, and how the queues stand, as Prometheus does.",
            {200: answer("Prometheus's text format.", TEXT, media_type="text/plain")},
        )
    ),
}
