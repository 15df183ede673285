"""Where one answer leads: what OpenAPI says of the operations that go on from it."""

from collections.abc import Mapping
from typing import Any

from offload_api.openapi.components import Schema


def link(operation_id: str, description: str, **parameters: str) -> dict[str, Schema]:
    """Return a link by its operation's name; `parameters` are runtime expressions."""
    return {operation_id: {"operationId": operation_id, "parameters": parameters, "description": description}}


def of_job(job_id: str) -> dict[str, Schema]:
    """Return the links from an answer that tells a job's id, by a runtime expression."""
    return {
        **link("getJob", "The job, followed to its end.", job_id=job_id),
        **link("streamJob", "The same by events.", job_id=job_id),
        **link("getResult", "What it returns.", job_id=job_id),
        **link("getOutput", "What it prints and logs.", job_id=job_id),
        **link("cancelJob", "Its end before its time.", job_id=job_id),
        **link("retryJob", "The same once more, after its end.", job_id=job_id),
        **link("deleteJob", "Its removal, after its end.", job_id=job_id),
    }


def _next(operation_id: str) -> dict[str, Schema]:
    following = "$response.body#/next_page_token"
    return link(operation_id, "The next page, where there is one; with the same filters.", page_token=following)


_MADE = of_job("$response.body#/id")
_FIRST = of_job("$response.body#/jobs/0/id")
_ASKED = "$request.path.job_id"
_SCHEDULE = "$request.path.schedule_id"

#: By operation and status; `Location` and `links` of the answers themselves lead to the same.
LINKS: Mapping[tuple[str, str], Mapping[str, Schema]] = {
    ("submitJob", "202"): _MADE,
    ("submitBatch", "202"): _FIRST,
    ("retryJob", "202"): _MADE,
    ("listJobs", "200"): _next("listJobs"),
    ("getJob", "200"): {
        **link("getResult", "What it returned.", job_id=_ASKED),
        **link("cancelJob", "Its end before its time.", job_id=_ASKED),
        **link("getOutput", "What it printed and logged.", job_id=_ASKED),
    },
    ("cancelJob", "200"): {
        **link("getJob", "The job, cancelled.", job_id=_ASKED),
        **link("retryJob", "The same once more.", job_id=_ASKED),
        **link("deleteJob", "Its removal.", job_id=_ASKED),
    },
    ("cancelJob", "202"): link("getJob", "The job, cancelled soon.", job_id=_ASKED),
    ("submitFlow", "202"): {
        **link("getFlow", "The flow, followed to its end.", flow_id="$response.body#/id"),
        **link("cancelFlow", "Its end before its time.", flow_id="$response.body#/id"),
        **link("listJobs", "Its jobs.", flow_id="$response.body#/id"),
    },
    ("addSchedule", "201"): {
        **link("getSchedule", "The schedule.", schedule_id="$response.body#/id"),
        **link("listJobs", "The jobs that it makes.", schedule_id="$response.body#/id"),
        **link("changeSchedule", "Another time, another job; or a pause.", schedule_id="$response.body#/id"),
        **link("deleteSchedule", "Its end.", schedule_id="$response.body#/id"),
    },
    ("listSchedules", "200"): _next("listSchedules"),
    ("getSchedule", "200"): {
        **link("changeSchedule", "Another time, another job; or a pause.", schedule_id=_SCHEDULE),
        **link("deleteSchedule", "Its end.", schedule_id=_SCHEDULE),
    },
    ("changeSchedule", "200"): link("getSchedule", "The schedule.", schedule_id=_SCHEDULE),
    ("createWebhook", "201"): {
        **link("getWebhook", "The webhook.", webhook_id="$response.body#/id"),
        **link("changeWebhook", "Another address, other events; or a pause.", webhook_id="$response.body#/id"),
        **link("rotateWebhook", "Another secret for it.", webhook_id="$response.body#/id"),
        **link("listDeliveries", "What became of what was sent to it.", webhook_id="$response.body#/id"),
        **link("deleteWebhook", "Its end.", webhook_id="$response.body#/id"),
    },
    ("listWebhooks", "200"): _next("listWebhooks"),
    ("listDeliveries", "200"): {
        **_next("listDeliveries"),
        **link(
            "replayDelivery",
            "One of them once more.",
            webhook_id="$request.path.webhook_id",
            delivery_id="$response.body#/deliveries/0/id",
        ),
    },
    ("createKey", "201"): {
        **link("rotateKey", "Another secret for it.", key_id="$response.body#/id"),
        **link("revokeKey", "Its end.", key_id="$response.body#/id"),
        **link("listAudit", "What is done with it.", key_id="$response.body#/id"),
    },
    ("listKeys", "200"): _next("listKeys"),
    ("listAudit", "200"): _next("listAudit"),
    ("listQueues", "200"): {
        **link("pauseQueue", "A pause of one of them.", name="$response.body#/queues/0/name"),
        **link("listJobs", "Its jobs.", queue="$response.body#/queues/0/name"),
    },
    ("pauseQueue", "200"): link("resumeQueue", "The end of the pause.", name="$request.path.name"),
    ("uploadFile", "201"): link("getFile", "The file.", file_id="$response.body#/id"),
    ("listTasks", "200"): link("getTask", "One of them.", name="$response.body#/tasks/0/name"),
    ("getTask", "200"): link("listJobs", "The jobs of it.", task="$response.body#/name"),
}


def linked(paths: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the paths with links at the answers that lead on."""
    return {path: {method: _linked(each) for method, each in item.items()} for path, item in paths.items()}


def _linked(operation: Mapping[str, Any]) -> dict[str, Any]:
    name = operation["operationId"]
    responses = {
        status: {**response, "links": LINKS[name, status]} if (name, status) in LINKS else response
        for status, response in operation["responses"].items()
    }
    return {**operation, "responses": responses}
