"""What OpenAPI says of each address; the tests hold it to the routes there are."""

from collections.abc import Mapping
from typing import Any, get_args

from offload_api.bodies import MERGE_PATCH_TYPES
from offload_api.headers import KEY_PATTERN, LONGEST_KEY
from offload_api.openapi.components import Schema, ref
from offload_api.paging import ID_PATTERN, LARGEST_PAGE, LONGEST_TOKEN, NAME_PATTERN
from offload_api.paging import PAGE_SIZE as DEFAULT_PAGE
from offload_api.problems import MEDIA_TYPE as PROBLEM
from offload_api.schedules import NAME_PATTERN as SCHEDULE_NAME_PATTERN
from offload_api.views import ShownState
from offload_shared.store.audits import SUBJECT_PATTERN, TARGET_PATTERN
from offload_shared.webhook import CALLBACKS, DeliveryState, EventType

JSON = "application/json"
OCTETS = "application/octet-stream"
ANY = "*/*"
TEXT: Schema = {"type": "string"}
EVENTS: Schema = {"description": "Server-sent events; the `data` of each is a JobView."}
BYTES: Schema = {"type": "string", "format": "binary"}

COUNT: Schema = {"type": "integer", "format": "int64", "minimum": 0, "default": 0}
NAME: Schema = {"type": "string", "pattern": NAME_PATTERN}
MOMENT: Schema = {"type": "string", "format": "date-time"}
SIZE: Schema = {"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE, "default": DEFAULT_PAGE}
TOKEN: Schema = {"type": "string", "maxLength": LONGEST_TOKEN}
ID: Schema = {"type": "string", "pattern": ID_PATTERN}

#: What a status outside of success means; some addresses have a word of their own for it.
PROBLEMS = {
    400: "The request is malformed.",
    401: "A valid key or token is needed, in `Authorization: Bearer ...`.",
    403: "The key or token does not allow it; `detail` names the scope that does.",
    404: "There is no such thing, or it is somebody else's.",
    408: "The body came in too slowly.",
    409: "The job has ended otherwise.",
    410: "The job was kept for as long as its result_ttl_seconds said, and is there no more.",
    413: "The body is larger than allowed.",
    415: "The body is of a kind that is not taken here.",
    416: "The range begins behind the end; Content-Range has the size.",
    422: "The request breaks a rule; `errors` has an entry for each bad field.",
    429: "Too many at once; Retry-After says when to try again.",
    503: "The store is not available; repeat the request, with its Idempotency-Key.",
}

JOB_HEADERS = ("ETag", "Retry-After", "Preference-Applied")
OUTPUT_HEADERS = ("Offload-Attempt", "Offload-Output-Start", "Offload-Output-End", "Retry-After", "Preference-Applied")
FILE_HEADERS = ("ETag", "Repr-Digest", "Content-Disposition", "Accept-Ranges")

#: Every header that is answered, and what it says.
HEADERS = {
    "ETag": "Names this version of what is answered; send it back in If-None-Match.",
    "Location": "The address of what was made.",
    "Link": 'The next page, as `rel="next"`; not there on the last.',
    "Retry-After": "After so many seconds it makes sense to ask again; there while more is to come.",
    "Preference-Applied": "The wait, in seconds, that was granted.",
    "Idempotency-Replayed": "`true` when an earlier request with this key made the job.",
    "Offload-Attempt": "The attempt that this is the output of; 0 while none has started.",
    "Offload-Output-Start": "How many bytes came before the first that is sent.",
    "Offload-Output-End": "What to send as `after` next.",
    "Content-Range": "The bytes that are sent, and the size of the whole.",
    "Accept-Ranges": "`bytes`",
    "Content-Disposition": "The name to save the file by.",
    "RateLimit": "How many requests the tenant may still send; there where their rate is limited.",
    "RateLimit-Policy": "How many requests a tenant may send, and in how many seconds.",
    "WWW-Authenticate": "`Bearer`, and what was wrong with the key or the token, or which scope is needed.",
    "Repr-Digest": "The SHA-256 of the whole file (RFC 9530).",
}


def parameter(name: str, where: str, schema: Schema, description: str) -> Schema:
    """Return a parameter; one in the path is required."""
    return {"name": name, "in": where, "required": where == "path", "schema": schema, "description": description}


IF_NONE_MATCH = parameter("If-None-Match", "header", TEXT, "The ETag the client has: answered 304 while it holds.")
PREFER = parameter("Prefer", "header", TEXT, "`wait=N`: answer when there is news, after N seconds at most (30).")
KEY = parameter(
    "Idempotency-Key",
    "header",
    {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY, "pattern": f"^{KEY_PATTERN}$"},
    "Makes it safe to repeat the request: one key, one job.",
)
LAST_EVENT_ID = parameter("Last-Event-ID", "header", TEXT, "Of the last event the client has: only news is sent.")
RANGE = parameter("Range", "header", TEXT, "One range of bytes, such as `bytes=0-99`.")
IF_RANGE = parameter("If-Range", "header", TEXT, "The ETag that the range is of; the whole is sent if it is outdated.")
SCHEDULE_ID = parameter("schedule_id", "path", ID, "A schedule's id.")
JOB_ID = parameter("job_id", "path", ID, "A job's id.")
KEY_ID = parameter("key_id", "path", ID, "A key's id.")
BY_KEY = parameter("key_id", "query", ID, "Only what was asked for by this key.")
BY_SUBJECT = parameter(
    "subject", "query", {"type": "string", "pattern": SUBJECT_PATTERN}, "Only what was asked for by this one's tokens."
)
TARGET = parameter("target", "query", {"type": "string", "pattern": TARGET_PATTERN}, "Only what was about this.")
WEBHOOK_ID = parameter("webhook_id", "path", ID, "A webhook's id.")
#: Also of those that have none.
WEBHOOK = parameter(
    "webhook_id",
    "path",
    {"type": "string", "pattern": f"^([0-9a-f]{{32}}|{CALLBACKS})$"},
    f"A webhook's id, or `{CALLBACKS}`.",
)
DELIVERY_ID = parameter("delivery_id", "path", ID, "A delivery's id.")
DELIVERY_STATE = parameter(
    "state", "query", {"enum": [each.value for each in DeliveryState]}, "Only deliveries in this state."
)
OF_JOB = parameter("job_id", "query", ID, "Only deliveries that tell of this job.")
FILE_ID = parameter("file_id", "path", ID, "An uploaded file's id.")
ATTEMPT = parameter("attempt", "query", COUNT, "Which attempt's; 0: the latest.")
AFTER = parameter("after", "query", COUNT, "Send what came after so many bytes: the last answer's Offload-Output-End.")
TASK = parameter("name", "path", TEXT, "A task's name.")
QUEUE_NAME = parameter("name", "path", TEXT, "A queue's name.")
ARTIFACT = parameter("name", "path", TEXT, "An artifact's name.")
DISPOSITION = parameter("Content-Disposition", "header", TEXT, 'The file\'s name: `attachment; filename="table.csv"`.')
FILE_NAME = parameter("name", "query", TEXT, "The file's name, where headers are hard to set.")

STATE = parameter("state", "query", {"enum": list(get_args(ShownState))}, "Only jobs in this state.")
TASK_FILTER = parameter("task", "query", NAME, "Only jobs of this task.")
QUEUE = parameter("queue", "query", NAME, "Only jobs of this queue.")
TAG = parameter("tag", "query", NAME, "Only jobs with this tag.")
SCHEDULE = parameter("schedule_id", "query", ID, "Only jobs that this schedule has made.")
CREATED_AFTER = parameter("created_after", "query", MOMENT, "Only jobs that were submitted after this time (RFC 3339).")
PAGE_SIZE = parameter("page_size", "query", SIZE, "How many a page has at most.")
PAGE_TOKEN = parameter("page_token", "query", TOKEN, "Where to go on: the last page's next_page_token.")

SCHEDULE_NAME = parameter(
    "name", "query", {"type": "string", "pattern": SCHEDULE_NAME_PATTERN}, "Only schedules of this name."
)
PAUSED = parameter("paused", "query", {"type": "boolean"}, "Only schedules that are paused, or that are not.")

SUBMISSION_EXAMPLE = {"echo": {"value": {"task": "echo", "payload": {"text": "Hello"}, "priority": 5}}}
SCHEDULE_EXAMPLE = {
    "weekdays": {
        "value": {
            "job": {"task": "echo", "payload": {"text": "Good morning"}},
            "cron": "30 7 * * MON-FRI",
            "timezone": "Europe/Berlin",
        }
    }
}
WEBHOOK_EXAMPLE = {
    "failures": {"value": {"url": "https://hooks.example/offload", "events": ["job.failed"], "name": "failures"}}
}
WEBHOOK_PATCH_EXAMPLE = {"disable": {"value": {"enabled": False}}}
PATCH_EXAMPLE = {"pause": {"value": {"paused": True}}}


def answer(description: str, schema: Schema | None, *headers: str, media_type: str = JSON) -> Schema:
    """Return a response; without a schema it has no body."""
    response: Schema = {"description": description}
    if headers:
        response["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in headers}
    if schema is not None:
        response["content"] = {media_type: {"schema": schema}}
    return response


def operation(
    name: str,
    tag: str,
    summary: str,
    answers: Mapping[int, Schema],
    *problems: int,
    parameters: tuple[Schema, ...] = (),
    body: Schema | None = None,
    body_required: bool = True,
) -> Schema:
    """Return an operation with its successes and, by their status, the problems it can answer."""
    refused = {status: answer(PROBLEMS[status], ref("ProblemDetails"), media_type=PROBLEM) for status in problems}
    made: Schema = {
        "operationId": name,
        "tags": [tag],
        "summary": summary,
        "parameters": list(parameters),
        "responses": {str(status): each for status, each in sorted({**answers, **refused}.items())},
    }
    if body is not None:
        made["requestBody"] = {"required": body_required, "content": body}
    return made


def readable(made: Schema) -> dict[str, Schema]:
    """Return the operations GET and HEAD: the same, but that HEAD has no body."""
    name = made["operationId"]
    bare = {status: {k: v for k, v in each.items() if k != "content"} for status, each in made["responses"].items()}
    head = {**made, "operationId": f"head{name[0].upper()}{name[1:]}", "responses": bare}
    return {"get": made, "head": head}


def unchanged(*headers: str) -> Schema:
    """Return the answer to a client that is up to date."""
    return answer("It is as the client knows it.", None, *headers)


def whole_or_part(description: str, *headers: str) -> Schema:
    """Return the answer with a file's bytes, in the media type it was stored with."""
    response = answer(description, BYTES, *headers, media_type=OCTETS)
    response["content"][ANY] = {}  # nothing can be said of them
    return response


_JOB = ref("JobView")
_SCHEDULE = ref("ScheduleView")
_WEBHOOK = ref("WebhookView")
_FILE = {
    200: whole_or_part("The whole file.", *FILE_HEADERS),
    206: whole_or_part("The range that was asked for.", *FILE_HEADERS, "Content-Range"),
    304: unchanged("ETag"),
}

PATHS: dict[str, dict[str, Any]] = {
    "/v1/jobs": {
        "post": operation(
            "submitJob",
            "jobs",
            "Submit a job. Answered 202 once it is stored: it will run, and end, whatever happens.",
            {202: answer("The job, stored.", _JOB, *JOB_HEADERS, "Location", "Idempotency-Replayed")},
            *(400, 404, 408, 413, 415, 422, 429, 503),
            parameters=(KEY,),
            body={JSON: {"schema": ref("Submission"), "examples": SUBMISSION_EXAMPLE}},
        ),
        **readable(
            operation(
                "listJobs",
                "jobs",
                "List jobs, the newest first.",
                {200: answer("A page of jobs.", ref("JobList"), "Link")},
                *(400, 503),
                parameters=(STATE, TASK_FILTER, QUEUE, TAG, SCHEDULE, CREATED_AFTER, PAGE_SIZE, PAGE_TOKEN),
            )
        ),
    },
    "/v1/jobs:batch": {
        "post": operation(
            "submitBatch",
            "jobs",
            "Submit up to a thousand jobs together. Answered 202 once all of them are stored; none is otherwise.",
            {202: answer("The jobs, in the order they were submitted in.", ref("JobBatch"), "Idempotency-Replayed")},
            *(400, 408, 413, 415, 422, 429, 503),
            parameters=(KEY,),
            body={JSON: {"schema": ref("Batch")}},
        ),
    },
    "/v1/jobs/{job_id}": {
        **readable(
            operation(
                "getJob",
                "jobs",
                "Look at a job, or wait for it to change.",
                {200: answer("The job.", _JOB, *JOB_HEADERS), 304: unchanged(*JOB_HEADERS)},
                *(404, 410, 503),
                parameters=(JOB_ID, PREFER, IF_NONE_MATCH),
            )
        ),
        "delete": operation(
            "deleteJob",
            "jobs",
            "Remove a job that has ended, with its result, its output and its files.",
            {204: answer("It is gone.", None)},
            *(404, 409, 410, 503),
            parameters=(JOB_ID,),
        ),
    },
    "/v1/jobs/{job_id}/result": readable(
        operation(
            "getResult",
            "jobs",
            "Fetch a job's result, or wait for it. 404 before there is one, 409 when there will be none.",
            {200: answer("What the handler returned.", ref("Result"), *JOB_HEADERS), 304: unchanged(*JOB_HEADERS)},
            *(404, 409, 410, 503),
            parameters=(JOB_ID, PREFER, IF_NONE_MATCH),
        )
    ),
    "/v1/jobs/{job_id}/output": readable(
        operation(
            "getOutput",
            "jobs",
            "Read what an attempt has printed and logged, or wait for more of it.",
            {200: answer("The bytes, as they were written.", BYTES, *OUTPUT_HEADERS, media_type="text/plain")},
            *(400, 404, 410, 503),
            parameters=(JOB_ID, ATTEMPT, AFTER, PREFER),
        )
    ),
    "/v1/jobs/{job_id}/events": {
        "get": operation(
            "streamJob",
            "jobs",
            "Follow a job by server-sent events, each with the job as it is then; closes after the last.",
            {
                200: answer("A stream of events.", EVENTS, media_type="text/event-stream"),
                204: answer("The client knows the job's end already.", None),
            },
            *(404, 410, 429, 503),
            parameters=(JOB_ID, LAST_EVENT_ID),
        ),
    },
    "/v1/jobs/{job_id}/cancel": {
        "post": operation(
            "cancelJob",
            "jobs",
            "Cancel a job.",
            {
                200: answer("It is cancelled.", _JOB, *JOB_HEADERS),
                202: answer("It runs; its worker will end it.", _JOB, *JOB_HEADERS),
            },
            *(404, 409, 410, 503),
            parameters=(JOB_ID,),
        ),
    },
    "/v1/jobs/{job_id}/retry": {
        "post": operation(
            "retryJob",
            "jobs",
            "Run a job that has ended again: as a new job, with the same payload and options.",
            {202: answer("The new job, stored.", _JOB, *JOB_HEADERS, "Location", "Idempotency-Replayed")},
            *(400, 404, 409, 410, 422, 429, 503),
            parameters=(JOB_ID, KEY),
        ),
    },
    "/v1/jobs/{job_id}/artifacts/{name}": readable(
        operation(
            "getArtifact",
            "files",
            "Download a file that a job left behind.",
            _FILE,
            *(404, 410, 416, 503),
            parameters=(JOB_ID, ARTIFACT, RANGE, IF_RANGE, IF_NONE_MATCH),
        )
    ),
    "/v1/schedules": {
        "post": operation(
            "addSchedule",
            "schedules",
            "Let a job be submitted again and again, at the times of a cron expression.",
            {
                201: answer("The schedule, stored.", _SCHEDULE, "Location", "ETag", "Idempotency-Replayed"),
                409: answer("There are as many as are kept.", ref("ProblemDetails"), media_type=PROBLEM),
            },
            *(400, 408, 413, 415, 422, 503),
            parameters=(KEY,),
            body={JSON: {"schema": ref("ScheduleBody"), "examples": SCHEDULE_EXAMPLE}},
        ),
        **readable(
            operation(
                "listSchedules",
                "schedules",
                "List schedules, the newest first.",
                {200: answer("A page of schedules.", ref("ScheduleList"), "Link")},
                *(400, 503),
                parameters=(SCHEDULE_NAME, PAUSED, PAGE_SIZE, PAGE_TOKEN),
            )
        ),
    },
    "/v1/schedules/{schedule_id}": {
        **readable(
            operation(
                "getSchedule",
                "schedules",
                "Look at a schedule.",
                {200: answer("The schedule.", _SCHEDULE, "ETag"), 304: unchanged("ETag")},
                *(404, 503),
                parameters=(SCHEDULE_ID, IF_NONE_MATCH),
            )
        ),
        "patch": operation(
            "changeSchedule",
            "schedules",
            "Change a schedule by a JSON merge patch (RFC 7396). Other times begin from now.",
            {200: answer("The schedule as it is now.", _SCHEDULE, "ETag")},
            *(400, 404, 408, 413, 415, 422, 503),
            parameters=(SCHEDULE_ID,),
            body={each: {"schema": ref("SchedulePatch"), "examples": PATCH_EXAMPLE} for each in MERGE_PATCH_TYPES},
        ),
        "delete": operation(
            "deleteSchedule",
            "schedules",
            "Remove a schedule. Its jobs stay.",
            {204: answer("It is gone.", None)},
            *(404, 503),
            parameters=(SCHEDULE_ID,),
        ),
    },
    "/v1/webhooks": {
        "post": operation(
            "createWebhook",
            "webhooks",
            "Let a server be told when jobs of your tenant end. Its secret is answered this one time.",
            {
                201: answer("The webhook, with its secret.", ref("MadeWebhook"), "Location"),
                409: answer("There are as many as are kept.", ref("ProblemDetails"), media_type=PROBLEM),
            },
            *(400, 408, 413, 415, 422, 503),
            body={JSON: {"schema": ref("NewWebhook"), "examples": WEBHOOK_EXAMPLE}},
        ),
        **readable(
            operation(
                "listWebhooks",
                "webhooks",
                "List webhooks, the newest first, without their secrets.",
                {200: answer("A page of webhooks.", ref("WebhookList"), "Link")},
                *(400, 503),
                parameters=(PAGE_SIZE, PAGE_TOKEN),
            )
        ),
    },
    "/v1/webhooks/{webhook_id}": {
        **readable(
            operation(
                "getWebhook",
                "webhooks",
                "Look at a webhook.",
                {200: answer("The webhook, without its secret.", _WEBHOOK, "ETag"), 304: unchanged("ETag")},
                *(404, 503),
                parameters=(WEBHOOK_ID, IF_NONE_MATCH),
            )
        ),
        "patch": operation(
            "changeWebhook",
            "webhooks",
            "Change a webhook by a JSON merge patch (RFC 7396): also to disable it, and to enable it again.",
            {200: answer("The webhook as it is now.", _WEBHOOK, "ETag")},
            *(400, 404, 408, 413, 415, 422, 503),
            parameters=(WEBHOOK_ID,),
            body={
                each: {"schema": ref("WebhookPatch"), "examples": WEBHOOK_PATCH_EXAMPLE} for each in MERGE_PATCH_TYPES
            },
            body_required=False,
        ),
        "delete": operation(
            "deleteWebhook",
            "webhooks",
            "Remove a webhook. What is on its way to it is given up.",
            {204: answer("It is gone.", None)},
            *(404, 503),
            parameters=(WEBHOOK_ID,),
        ),
    },
    "/v1/webhooks/{webhook_id}/rotate": {
        "post": operation(
            "rotateWebhook",
            "webhooks",
            "Give a webhook another secret. For a while, what is sent is signed with the present one as well.",
            {200: answer("The webhook, with its new secret.", ref("MadeWebhook"))},
            *(400, 404, 408, 413, 415, 422, 503),
            parameters=(WEBHOOK_ID,),
            body={JSON: {"schema": ref("Rotation")}},
            body_required=False,
        ),
    },
    f"/v1/webhooks/{CALLBACKS}/rotate": {
        "post": operation(
            "rotateCallbacks",
            "webhooks",
            "Give your tenant another secret for what is sent to the callback_url of jobs, or its first.",
            {200: answer("The secret.", ref("CallbackSecret"))},
            *(400, 408, 413, 415, 422, 503),
            body={JSON: {"schema": ref("Rotation")}},
            body_required=False,
        ),
    },
    "/v1/webhooks/{webhook_id}/deliveries": readable(
        operation(
            "listDeliveries",
            "webhooks",
            "List what was sent to a webhook, or to the callback_url of jobs, and what came of it; the newest first.",
            {200: answer("A page of deliveries.", ref("DeliveryList"), "Link")},
            *(400, 404, 503),
            parameters=(WEBHOOK, DELIVERY_STATE, OF_JOB, PAGE_SIZE, PAGE_TOKEN),
        )
    ),
    "/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/replay": {
        "post": operation(
            "replayDelivery",
            "webhooks",
            "Let an event be delivered once more, whatever came of it before.",
            {
                202: answer("It is on its way.", ref("DeliveryView")),
                409: answer("The webhook is disabled.", ref("ProblemDetails"), media_type=PROBLEM),
            },
            *(404, 503),
            parameters=(WEBHOOK, DELIVERY_ID),
        ),
    },
    "/v1/files": {
        "post": operation(
            "uploadFile",
            "files",
            "Upload a file for jobs to read; the body is the file itself, in any media type but multipart/form-data.",
            {201: answer("The file, stored.", ref("FileView"), "Location", "ETag")},
            *(400, 408, 413, 415, 503),
            parameters=(DISPOSITION, FILE_NAME),
            body={OCTETS: {"schema": BYTES}},
            body_required=False,  # a file may be empty
        ),
    },
    "/v1/files/{file_id}": readable(
        operation(
            "getFile",
            "files",
            "Download an uploaded file.",
            _FILE,
            *(404, 416, 503),
            parameters=(FILE_ID, RANGE, IF_RANGE, IF_NONE_MATCH),
        )
    ),
    "/v1/keys": {
        "post": operation(
            "createKey",
            "keys",
            "Make an API key. Its secret is answered this one time.",
            {201: answer("The key, with its secret.", ref("MadeKey"), "Location")},
            *(400, 408, 413, 415, 422, 503),
            body={JSON: {"schema": ref("NewKey")}},
        ),
        **readable(
            operation(
                "listKeys",
                "keys",
                "List API keys, the newest first, without their secrets.",
                {200: answer("A page of your tenant's keys; to the default tenant, of all.", ref("KeyList"), "Link")},
                *(400, 503),
                parameters=(PAGE_SIZE, PAGE_TOKEN),
            )
        ),
    },
    "/v1/keys/{key_id}/rotate": {
        "post": operation(
            "rotateKey",
            "keys",
            "Give a key another secret. The present one is good for a while longer.",
            {200: answer("The key, with its new secret.", ref("MadeKey"))},
            *(400, 404, 408, 413, 415, 422, 503),
            parameters=(KEY_ID,),
            body={JSON: {"schema": ref("Rotation")}},
            body_required=False,  # none is as good as an empty object
        ),
    },
    "/v1/keys/{key_id}": {
        "delete": operation(
            "revokeKey",
            "keys",
            "End a key for good. Other API processes take notice within 5 seconds.",
            {204: answer("It is revoked.", None)},
            *(404, 503),
            parameters=(KEY_ID,),
        ),
    },
    "/v1/audit": readable(
        operation(
            "listAudit",
            "keys",
            "List what was asked for by whom, the newest first: whatever was to change something.",
            {200: answer("A page of what your tenant did; to the default tenant, of all.", ref("AuditPage"), "Link")},
            *(400, 503),
            parameters=(BY_KEY, BY_SUBJECT, TARGET, PAGE_SIZE, PAGE_TOKEN),
        )
    ),
    "/v1/tasks": readable(
        operation(
            "listTasks",
            "tasks",
            "List the tasks there are, with JSON Schemas of what they take and give.",
            {200: answer("Every task.", ref("TaskList"), "ETag"), 304: unchanged("ETag")},
            parameters=(IF_NONE_MATCH,),
        )
    ),
    "/v1/tasks/{name}": readable(
        operation(
            "getTask",
            "tasks",
            "Look at one task.",
            {200: answer("The task.", ref("TaskView"), "ETag"), 304: unchanged("ETag")},
            404,
            parameters=(TASK, IF_NONE_MATCH),
        )
    ),
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
    "/health/live": readable(
        operation("getLiveness", "health", "Ask for a sign of life.", {200: answer("It answers.", ref("Liveness"))})
    ),
    "/health/ready": readable(
        operation(
            "getReadiness",
            "health",
            "Ask whether jobs can be accepted.",
            {
                200: answer("They can; without the broker they are kept until it is back.", ref("Readiness")),
                503: answer("They cannot: the store is away.", ref("Readiness")),
            },
        )
    ),
}


#: What is sent to the servers of clients.
WEBHOOKS: dict[str, dict[str, Any]] = {
    event.value: {
        "post": {
            "tags": ["webhooks"],
            "summary": f"A job has {event.value.partition('.')[2].replace('cancelled', 'been cancelled')}.",
            "description": "Signed as Standard Webhooks says. Answer 2xx once it is yours; repeats have the same id.",
            "parameters": [
                parameter("webhook-id", "header", TEXT, "Names the event: the same on each attempt."),
                parameter("webhook-timestamp", "header", TEXT, "Of the attempt, in seconds since the epoch."),
                parameter("webhook-signature", "header", TEXT, "`v1,` and an HMAC-SHA256; one for each secret."),
            ],
            "requestBody": {"required": True, "content": {JSON: {"schema": ref("JobEvent")}}},
            "responses": {
                "2XX": {"description": "It was taken."},
                "410": {"description": "Nothing more is to be sent: the webhook is disabled."},
            },
        }
    }
    for event in EventType
}
