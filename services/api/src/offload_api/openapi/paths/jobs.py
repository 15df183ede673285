"""What OpenAPI says of jobs."""

from typing import Any

from offload_api.openapi.components import ref
from offload_api.openapi.operations import operation, readable
from offload_api.openapi.parameters import (
    AFTER,
    ARTIFACT,
    ATTEMPT,
    CREATED_AFTER,
    FLOW,
    IF_NONE_MATCH,
    IF_RANGE,
    JOB_ID,
    KEY,
    LAST_EVENT_ID,
    PAGE_SIZE,
    PAGE_TOKEN,
    PREFER,
    QUEUE,
    RANGE,
    SCHEDULE,
    STATE,
    TAG,
    TASK_FILTER,
)
from offload_api.openapi.responses import BYTES, EVENTS, FILE, JOB_HEADERS, JSON, OUTPUT_HEADERS, answer, unchanged

SUBMISSION_EXAMPLE = {"echo": {"value": {"task": "echo", "payload": {"text": "Hello"}, "priority": 5}}}
_JOB = ref("JobView")

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
                parameters=(STATE, TASK_FILTER, QUEUE, TAG, SCHEDULE, FLOW, CREATED_AFTER, PAGE_SIZE, PAGE_TOKEN),
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
            FILE,
            *(404, 410, 416, 503),
            parameters=(JOB_ID, ARTIFACT, RANGE, IF_RANGE, IF_NONE_MATCH),
        )
    ),
}
