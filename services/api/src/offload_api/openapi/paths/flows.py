"""What OpenAPI says of flows."""

from typing import Any

from offload_api.openapi.components import ref
from offload_api.openapi.operations import operation, readable
from offload_api.openapi.parameters import FLOW_ID, IF_NONE_MATCH, KEY, PREFER
from offload_api.openapi.responses import JOB_HEADERS, JSON, answer, unchanged

FLOW_EXAMPLE = {
    "two": {
        "value": {
            "jobs": {
                "first": {"task": "echo", "payload": {"text": "Hello"}},
                "second": {"task": "echo", "payload": {"text": {"$result": "first", "at": "/text"}}},
            }
        }
    }
}
_FLOW = ref("FlowView")

PATHS: dict[str, dict[str, Any]] = {
    "/v1/flows": {
        "post": operation(
            "submitFlow",
            "flows",
            "Submit up to a thousand jobs some of which follow others, and take their results and files as input. "
            "Answered 202 once all of them are stored; none is otherwise.",
            {202: answer("The flow, stored.", _FLOW, *JOB_HEADERS, "Location", "Idempotency-Replayed")},
            *(400, 408, 413, 415, 422, 429, 503),
            parameters=(KEY,),
            body={JSON: {"schema": ref("FlowBody"), "examples": FLOW_EXAMPLE}},
        ),
    },
    "/v1/flows/{flow_id}": readable(
        operation(
            "getFlow",
            "flows",
            "Look at a flow, or wait for its end.",
            {200: answer("The flow.", _FLOW, *JOB_HEADERS), 304: unchanged(*JOB_HEADERS)},
            *(404, 503),
            parameters=(FLOW_ID, PREFER, IF_NONE_MATCH),
        )
    ),
    "/v1/flows/{flow_id}/cancel": {
        "post": operation(
            "cancelFlow",
            "flows",
            "Cancel every job of a flow that has not ended.",
            {
                200: answer("None of its jobs runs any more.", _FLOW, *JOB_HEADERS),
                202: answer("Some of its jobs run; their workers will end them.", _FLOW, *JOB_HEADERS),
            },
            *(404, 409, 503),
            parameters=(FLOW_ID,),
        ),
    },
}
