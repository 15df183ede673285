"""The parameters of addresses, queries and headers, and what may be in them."""

from typing import get_args

from offload_api.headers import KEY_PATTERN, LONGEST_KEY
from offload_api.openapi.components import Schema
from offload_api.paging import ID_PATTERN, LARGEST_PAGE, LONGEST_TOKEN, NAME_PATTERN
from offload_api.paging import PAGE_SIZE as DEFAULT_PAGE
from offload_api.schedules import NAME_PATTERN as SCHEDULE_NAME_PATTERN
from offload_api.views import ShownState
from offload_shared.store.audits import SUBJECT_PATTERN, TARGET_PATTERN
from offload_shared.webhook import CALLBACKS, DeliveryState

TEXT: Schema = {"type": "string"}
COUNT: Schema = {"type": "integer", "format": "int64", "minimum": 0, "default": 0}
NAME: Schema = {"type": "string", "pattern": NAME_PATTERN}
MOMENT: Schema = {"type": "string", "format": "date-time"}
SIZE: Schema = {"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE, "default": DEFAULT_PAGE}
TOKEN: Schema = {"type": "string", "maxLength": LONGEST_TOKEN}
ID: Schema = {"type": "string", "pattern": ID_PATTERN}


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
FLOW_ID = parameter("flow_id", "path", ID, "A flow's id.")
FLOW = parameter("flow_id", "query", ID, "Only jobs of this flow.")
CREATED_AFTER = parameter("created_after", "query", MOMENT, "Only jobs that were submitted after this time (RFC 3339).")
PAGE_SIZE = parameter("page_size", "query", SIZE, "How many a page has at most.")
PAGE_TOKEN = parameter("page_token", "query", TOKEN, "Where to go on: the last page's next_page_token.")

SCHEDULE_NAME = parameter(
    "name", "query", {"type": "string", "pattern": SCHEDULE_NAME_PATTERN}, "Only schedules of this name."
)
PAUSED = parameter("paused", "query", {"type": "boolean"}, "Only schedules that are paused, or that are not.")
