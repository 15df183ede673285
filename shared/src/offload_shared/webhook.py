"""Webhooks: what is told of jobs to servers of their owners, and what has become of telling it."""

import hashlib
import secrets
from base64 import b64encode
from datetime import datetime
from enum import StrEnum
from urllib.parse import urlsplit

import msgspec

from offload_shared.job import JobState

#: How every secret begins (Standard Webhooks).
SECRET_PREFIX = "whsec_"  # noqa: S105
SECRET_BYTES = 32
#: What callbacks have in place of a webhook's id.
CALLBACKS = "callbacks"


class EventType(StrEnum):
    """What has become of a job; each job ends once, so of each there is one event."""

    SUCCEEDED = "job.succeeded"
    FAILED = "job.failed"
    CANCELLED = "job.cancelled"


#: By the state that a job ends in.
EVENTS = {
    JobState.SUCCEEDED: EventType.SUCCEEDED,
    JobState.FAILED: EventType.FAILED,
    JobState.CANCELLED: EventType.CANCELLED,
}


class DeliveryState(StrEnum):
    """Where a delivery stands; a replay makes it pending again."""

    PENDING = "pending"  # -> delivered, failed
    DELIVERED = "delivered"  # answered by success
    FAILED = "failed"  # given up


class Secrets(msgspec.Struct, frozen=True, kw_only=True):
    """What deliveries are signed with: the present secret, and the one before it until that is over."""

    secret: str
    previous_secret: str | None
    previous_until: datetime | None
    now: datetime  # the store's clock when they were read

    def good(self) -> list[str]:
        """Return the secrets to sign with, the present one first."""
        overlaps = self.previous_until is not None and self.previous_until > self.now
        return [self.secret, self.previous_secret] if overlaps and self.previous_secret else [self.secret]


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """A server of a tenant's that is told of the ends of its jobs."""

    id: str
    tenant: str
    url: str
    name: str | None
    events: tuple[EventType, ...]
    version: int
    created_at: datetime
    disabled_at: datetime | None
    secrets: Secrets


class Try(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt to deliver: the status that was answered, or why there was none."""

    at: datetime
    seconds: float
    status: int | None = None
    error: str | None = None


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """An event on its way to one server."""

    id: str
    webhook_id: str | None  # None: to the callback_url of the job
    url: str | None  # of a callback; a webhook's own is the one that it has by then
    job_id: str
    event: EventType
    state: DeliveryState
    attempt: int  # the fencing token: raised by whoever takes it
    created_at: datetime
    due_at: datetime  # while it is pending: when it is tried again; of one under way, when it counts as lost
    finished_at: datetime | None
    tries: list[Try]  # the latest of them


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery that somebody has taken to make."""

    id: str
    attempt: int
    failures: int  # since it was added, or replayed; this attempt is among them, until it is known not to be
    target: str
    tenant: str
    job_id: str
    event: EventType
    payload: str | None  # None: not made yet
    url: str
    secrets: Secrets


def new_secret() -> str:
    """Return 256 random bits as Standard Webhooks writes them."""
    return SECRET_PREFIX + b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def callback_target(tenant: str, url: str) -> str:
    """Return what a tenant's callbacks to one server have in common: they share its turns."""
    parts = urlsplit(url)
    server = f"{tenant}\n{parts.scheme}://{parts.netloc}".lower()
    return f"{CALLBACKS}:{hashlib.sha256(server.encode()).hexdigest()[:48]}"
