"""The schemas of the OpenAPI document, from the very types that requests are decoded to and answers encoded from."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from offload_api.flow_views import FlowView
from offload_api.flows import FlowBody, Flows
from offload_api.problems import ProblemDetails
from offload_api.routes.audit import AuditPage
from offload_api.routes.files import FileView
from offload_api.routes.health import Liveness, Readiness
from offload_api.routes.keys import KeyList, MadeKey, NewKey, Rotation
from offload_api.routes.queues import QueueList, QueueView
from offload_api.routes.tasks import TaskList, TaskView
from offload_api.routes.webhooks import NewWebhook, WebhookPatch
from offload_api.routes.workers import WorkerList
from offload_api.schedule_views import ScheduleList, ScheduleView
from offload_api.schedules import ScheduleBody, Schedules
from offload_api.submissions import Options, Submissions
from offload_api.views import JobBatch, JobList, JobView
from offload_api.webhook_views import (
    CallbackSecret,
    DeliveryList,
    DeliveryView,
    JobEvent,
    MadeWebhook,
    WebhookList,
    WebhookView,
)
from offload_shared.tasks.task import Task

Schema = dict[str, Any]

#: Of any text in a body: what `strictness.require_printable` lets through.
PRINTABLE = r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*$"

_REFERENCE = re.compile(r'"\$ref":"#/components/schemas/([^"]+)"')

ANSWERS = (
    *(ProblemDetails, JobView, JobList, JobBatch, FlowView, ScheduleView, ScheduleList, FileView, TaskView, TaskList),
    *(WebhookView, MadeWebhook, WebhookList, CallbackSecret, DeliveryView, DeliveryList, JobEvent),
    *(MadeKey, KeyList, AuditPage, QueueView, QueueList, WorkerList, Liveness, Readiness),
)
BODIES = (ScheduleBody, FlowBody, NewKey, Rotation, NewWebhook, WebhookPatch)


def ref(name: str) -> Schema:
    """Return a reference to a schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def schemas(
    submissions: Submissions, schedules: Schedules, flows: Flows, tasks: Mapping[str, Task]
) -> dict[str, Schema]:
    """Return every schema by name: the answers, each task's payload and result, and what is told apart by its task."""
    results = [task.result for task in tasks.values()]
    asked = (submissions.union, submissions.batch, schedules.union, flows.union, *BODIES)
    kinds = list(dict.fromkeys((*asked, *results, *ANSWERS)))
    made, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    of = dict(zip(kinds, made, strict=True))
    components["ScheduledJob"] = _told_apart(of[schedules.union], schedules.kinds)
    for schedule in (ScheduleBody, ScheduleView):
        components[schedule.__name__]["properties"]["job"] = ref("ScheduledJob")
    components["FlowJob"] = _told_apart(of[flows.union], flows.kinds)
    components["FlowBody"]["properties"]["jobs"]["additionalProperties"] = ref("FlowJob")
    components["SchedulePatch"] = _merge_patch(components["ScheduleBody"])
    sent = _reached([*(of[each] for each in asked), ref("SchedulePatch")], components)
    components = {name: _sendable(each) if name in sent else each for name, each in components.items()}
    return {
        **components,
        "Submission": _told_apart(of[submissions.union], submissions.kinds),
        "Result": {"anyOf": _distinct([of[each] for each in results]), "description": "As the task's handler made it."},
    }


def _told_apart(union: Schema, kinds: Mapping[str, type[Options]]) -> Schema:
    # A union of one is no union to msgspec; and ours exclude each other, which `oneOf` says and `anyOf` does not.
    choices = union.get("anyOf", [union])
    names = dict(zip(kinds, (choice["$ref"] for choice in choices), strict=True))
    return {
        "oneOf": choices,
        "discriminator": union.get("discriminator", {"propertyName": "task", "mapping": names}),
    }


def _merge_patch(body: Schema) -> Schema:
    # Any member may be left out, or taken away by null where none is needed; of the job, too, a part may be given.
    # What it is without is the default, which the client does not say by leaving it out.
    parts: Schema = {
        name: schema
        if name in body["required"]
        else {"anyOf": [{key: each for key, each in schema.items() if key != "default"}, {"type": "null"}]}
        for name, schema in body["properties"].items()
    }
    parts["job"] = {"type": "object", "description": "What changes of the job: its payload, its options."}
    return {
        "type": "object",
        "description": "What changes of a schedule (RFC 7396).",
        "properties": parts,
        "additionalProperties": False,
    }


def _distinct(found: list[Schema]) -> list[Schema]:
    return [each for index, each in enumerate(found) if each not in found[:index]]


def _reached(schemas: list[Schema], components: Mapping[str, Schema]) -> set[str]:
    """Return the names of the components that these schemas refer to, themselves or through others."""
    names = set[str]()
    ahead = list(schemas)
    while ahead:
        for name in set(_REFERENCE.findall(msgspec.json.encode(ahead.pop()).decode())) - names:
            names.add(name)
            ahead.append(components[name])
    return names


def _sendable(schema: Any) -> Any:
    """Return a schema of what clients send, as strict with text as the service is, and as generators can read it."""
    if isinstance(schema, list):
        return [_sendable(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: _sendable(each) for name, each in schema.items() if name != "default"}
    if "default" in schema:
        if isinstance(schema["default"], dict):  # which generators of clients know nothing to do with
            told = f"By default {msgspec.json.encode(schema['default']).decode()}."
            made["description"] = f"{schema.get('description', '')} {told}".lstrip()
        else:
            made["default"] = schema["default"]
    if schema.get("type") == "string" and not schema.keys() & {"enum", "const", "format", "pattern"}:
        made["pattern"] = PRINTABLE
    return made
