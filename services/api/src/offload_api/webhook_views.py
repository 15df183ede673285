"""Webhooks and their deliveries as clients see them, and what is told to their servers."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from offload_api.views import JobView, job_path, job_view
from offload_shared.job import Job
from offload_shared.webhook import CALLBACKS, EVENTS, Delivery, DeliveryState, EventType, Try, Webhook

#: A larger result is fetched from the job.
LARGEST_RESULT_BYTES = 16 * 1024


class JobEventData(msgspec.Struct, frozen=True, kw_only=True):
    """The job that has ended, and its result."""

    job: JobView
    result: Annotated[Any, Meta(description="Null where there is none, or it is larger than 16 KiB.")]


class JobEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent to a webhook, or to a job's callback_url (Standard Webhooks)."""

    type: EventType
    timestamp: Annotated[datetime, Meta(description="When the job ended.")]
    data: JobEventData


class WebhookLinks(msgspec.Struct, frozen=True, kw_only=True):
    """Where to go from here."""

    self: str
    deliveries: str


class WebhookView(msgspec.Struct, frozen=True, kw_only=True):
    """A server that is told of the ends of jobs; without its secret."""

    id: str
    url: str
    name: str | None
    events: list[EventType]
    enabled: bool
    created_at: datetime
    disabled_at: Annotated[datetime | None, Meta(description="Since then nothing is sent: as you, or 410, said.")]
    previous_until: Annotated[
        datetime | None, Meta(description="Until then what is sent is signed with the secret before this one too.")
    ]
    links: WebhookLinks


class MadeWebhook(WebhookView, frozen=True, kw_only=True):
    """A webhook with its secret, which is shown this one time."""

    secret: Annotated[str, Meta(description="What is sent is signed with it, as Standard Webhooks says.")]


class WebhookList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of webhooks, the newest first; `next_page_token` is null on the last."""

    webhooks: list[WebhookView]
    next_page_token: str | None


class CallbackSecret(msgspec.Struct, frozen=True, kw_only=True):
    """What all callbacks of a tenant are signed with, which is shown this one time."""

    secret: str
    previous_until: datetime | None


class DeliveryLinks(msgspec.Struct, frozen=True, kw_only=True):
    """Where to go from here."""

    job: str
    replay: str


class DeliveryView(msgspec.Struct, frozen=True, kw_only=True):
    """An event on its way to a server."""

    id: str
    webhook_id: Annotated[str | None, Meta(description="Null for a callback.")]
    url: Annotated[str | None, Meta(description="The job's callback_url; null otherwise.")]
    event: EventType
    job_id: str
    state: DeliveryState
    attempts: Annotated[int, Meta(description="How often it was tried to deliver it.")]
    created_at: datetime
    due_at: Annotated[datetime | None, Meta(description="When it is tried again; null once it is not any more.")]
    finished_at: datetime | None
    last_status: Annotated[int | None, Meta(description="Of the last answer; null where there was none.")]
    last_error: Annotated[str | None, Meta(description="What was wrong with the last attempt.")]
    tries: Annotated[list[Try], Meta(description="The latest attempts, the last of them last.")]
    links: DeliveryLinks


class DeliveryList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of deliveries, the newest first; `next_page_token` is null on the last."""

    deliveries: list[DeliveryView]
    next_page_token: str | None


def event_of(job: Job, result: bytes | None) -> bytes:
    """Return what is told of a job that has ended: always the same, since nothing about it changes any more."""
    if job.finished_at is None:
        raise ValueError("a job that has not ended is told of to nobody")
    small = result is not None and len(result) <= LARGEST_RESULT_BYTES
    data = JobEventData(job=job_view(job), result=msgspec.Raw(result) if small and result else None)
    return msgspec.json.encode(JobEvent(type=EVENTS[job.state], timestamp=job.finished_at, data=data))


def webhook_path(webhook_id: str) -> str:
    """Return the address of a webhook."""
    return f"/v1/webhooks/{webhook_id}"


def webhook_view(webhook: Webhook) -> WebhookView:
    """Return what a client is shown of a webhook."""
    return WebhookView(**_shown(webhook))


def made_webhook(webhook: Webhook) -> MadeWebhook:
    """Return what a client is shown of a webhook whose secret was just made."""
    return MadeWebhook(**_shown(webhook), secret=webhook.secrets.secret)


def _shown(webhook: Webhook) -> dict[str, Any]:
    here = webhook_path(webhook.id)
    return {
        "id": webhook.id,
        "url": webhook.url,
        "name": webhook.name,
        "events": list(webhook.events),
        "enabled": webhook.disabled_at is None,
        "created_at": webhook.created_at,
        "disabled_at": webhook.disabled_at,
        "previous_until": webhook.secrets.previous_until,
        "links": WebhookLinks(self=here, deliveries=f"{here}/deliveries"),
    }


def delivery_view(delivery: Delivery) -> DeliveryView:
    """Return what a client is shown of a delivery."""
    last = delivery.tries[-1] if delivery.tries else None
    log = f"{webhook_path(delivery.webhook_id or CALLBACKS)}/deliveries"
    return DeliveryView(
        id=delivery.id,
        webhook_id=delivery.webhook_id,
        url=delivery.url,
        event=delivery.event,
        job_id=delivery.job_id,
        state=delivery.state,
        attempts=delivery.attempt,
        created_at=delivery.created_at,
        due_at=delivery.due_at if delivery.state is DeliveryState.PENDING else None,
        finished_at=delivery.finished_at,
        last_status=last.status if last else None,
        last_error=last.error if last else None,
        tries=delivery.tries,
        links=DeliveryLinks(job=job_path(delivery.job_id), replay=f"{log}/{delivery.id}/replay"),
    )
