"""What OpenAPI says of keys and the audit trail."""

from typing import Any

from offload_api.openapi.components import ref
from offload_api.openapi.operations import operation, readable
from offload_api.openapi.parameters import BY_KEY, BY_SUBJECT, KEY_ID, PAGE_SIZE, PAGE_TOKEN, TARGET
from offload_api.openapi.responses import JSON, answer

PATHS: dict[str, dict[str, Any]] = {
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
}
