"""The schemas of the OpenAPI document, from the very types that requests are decoded to and answers encoded from."""

from collections.abc import Mapping
from typing import Any

import msgspec

from offload_api.problems import ProblemDetails
from offload_api.routes.audit import AuditPage
from offload_api.routes.files import FileView
from offload_api.routes.health import Liveness, Readiness
from offload_api.routes.keys import KeyList, MadeKey, NewKey, Rotation
from offload_api.routes.tasks import TaskList, TaskView
from offload_api.submissions import Submissions
from offload_api.views import JobBatch, JobList, JobView
from offload_shared.tasks.task import Task

Schema = dict[str, Any]

ANSWERS = (
    *(ProblemDetails, JobView, JobList, JobBatch, FileView, TaskView, TaskList, Liveness, Readiness),
    *(MadeKey, KeyList, AuditPage),
)
BODIES = (NewKey, Rotation)


def ref(name: str) -> Schema:
    """Return a reference to a schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def schemas(submissions: Submissions, tasks: Mapping[str, Task]) -> dict[str, Schema]:
    """Return every schema by name: the answers, each task's payload and result, `Submission` and `Result`."""
    results = [task.result for task in tasks.values()]
    kinds = list(dict.fromkeys((submissions.union, submissions.batch, *results, *ANSWERS, *BODIES)))
    made, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    of = dict(zip(kinds, made, strict=True))
    return {
        **components,
        "Submission": _told_apart(of[submissions.union], submissions),
        "Result": {"anyOf": _distinct([of[each] for each in results]), "description": "As the task's handler made it."},
    }


def _told_apart(union: Schema, submissions: Submissions) -> Schema:
    # A union of one is no union to msgspec; and ours exclude each other, which `oneOf` says and `anyOf` does not.
    choices = union.get("anyOf", [union])
    names = dict(zip(submissions.kinds, (choice["$ref"] for choice in choices), strict=True))
    return {
        "oneOf": choices,
        "discriminator": union.get("discriminator", {"propertyName": "task", "mapping": names}),
    }


def _distinct(found: list[Schema]) -> list[Schema]:
    return [each for index, each in enumerate(found) if each not in found[:index]]
