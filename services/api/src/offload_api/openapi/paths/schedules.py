"""What OpenAPI says of schedules."""

from typing import Any

from offload_api.bodies import MERGE_PATCH_TYPES
from offload_api.openapi.components import ref
from offload_api.openapi.operations import operation, readable
from offload_api.openapi.parameters import IF_NONE_MATCH, KEY, PAGE_SIZE, PAGE_TOKEN, PAUSED, SCHEDULE_ID, SCHEDULE_NAME
from offload_api.openapi.responses import JSON, answer, unchanged
from offload_api.problems import MEDIA_TYPE as PROBLEM

SCHEDULE_EXAMPLE = {
    "weekdays": {
        "value": {
            "job": {"task": "echo", "payload": {"text": "Good morning"}},
            "cron": "30 7 * * MON-FRI",
            "timezone": "Europe/Berlin",
        }
    }
}
PATCH_EXAMPLE = {"pause": {"value": {"paused": True}}}
_SCHEDULE = ref("ScheduleView")

PATHS: dict[str, dict[str, Any]] = {
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
}
