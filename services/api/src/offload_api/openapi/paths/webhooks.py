"""What OpenAPI says of webhooks, and what is sent to them."""

from typing import Any

from offload_api.bodies import MERGE_PATCH_TYPES
from offload_api.openapi.components import ref
from offload_api.openapi.operations import operation, readable
from offload_api.openapi.parameters import (
    DELIVERY_ID,
    DELIVERY_STATE,
    IF_NONE_MATCH,
    OF_JOB,
    PAGE_SIZE,
    PAGE_TOKEN,
    TEXT,
    WEBHOOK,
    WEBHOOK_ID,
    parameter,
)
from offload_api.openapi.responses import JSON, answer, unchanged
from offload_api.problems import MEDIA_TYPE as PROBLEM
from offload_shared.webhook import CALLBACKS, EventType

WEBHOOK_EXAMPLE = {
    "failures": {"value": {"url": "https://hooks.example/offload", "events": ["job.failed"], "name": "failures"}}
}
WEBHOOK_PATCH_EXAMPLE = {"disable": {"value": {"enabled": False}}}
_WEBHOOK = ref("WebhookView")

PATHS: dict[str, dict[str, Any]] = {
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
