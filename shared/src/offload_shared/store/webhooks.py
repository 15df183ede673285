"""Webhooks in the store: kept, changed, given other secrets; and the secrets of callbacks, one a tenant."""

from collections.abc import Callable, Collection
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from offload_shared.ids import new_id
from offload_shared.store.clock import clock
from offload_shared.store.database import Database
from offload_shared.store.schema import callback_secret, webhook
from offload_shared.webhook import EventType, Secrets, Webhook, new_secret

_WEBHOOKS = select(webhook, clock().label("now"))


class WebhookPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What its owner decides of a webhook."""

    url: str
    events: tuple[EventType, ...]
    name: str | None = None
    enabled: bool = True


class WantedWebhooks(msgspec.Struct, frozen=True, kw_only=True):
    """Which webhooks are listed: those of which all of this holds."""

    tenant: str = ""


def create(database: Database, plan: WebhookPlan, *, tenant: str, most: int) -> Webhook | None:
    """Add a webhook with a secret; returns None when the tenant has `most` of them already.

    Several that are added at the same moment may together come to more than `most`.
    """
    values = {
        "id": new_id(),
        "tenant": tenant,
        **_columns(plan),
        "secret": new_secret(),
        "version": 1,
        "created_at": clock(),
    }
    counted = select(func.count()).select_from(webhook).where(webhook.c.tenant == tenant)
    statement = insert(webhook).values(values).returning(webhook, clock().label("now"))

    def work(connection: Connection) -> Webhook | None:
        if connection.execute(counted).scalar_one() >= most:
            return None
        return as_webhook(connection.execute(statement).one())

    return database.write(work)


def _columns(plan: WebhookPlan) -> dict[str, Any]:
    return {"url": plan.url, "events": " ".join(plan.events), "name": plan.name}


def get(database: Database, webhook_id: str, *, tenant: str = "") -> Webhook | None:
    """Return a webhook, or None when the tenant has none of that id."""
    statement = _WEBHOOKS.where(webhook.c.id == webhook_id, webhook.c.tenant == tenant)
    row = database.read(lambda connection: connection.execute(statement).one_or_none())
    return as_webhook(row) if row else None


def page(database: Database, wanted: WantedWebhooks, *, size: int, older_than: str | None = None) -> list[Webhook]:
    """Return up to `size` webhooks, the newest first, that are older than the one of this id."""
    older = [webhook.c.id < older_than] if older_than is not None else []
    statement = _WEBHOOKS.where(webhook.c.tenant == wanted.tenant, *older).order_by(webhook.c.id.desc()).limit(size)
    return database.read(lambda connection: [as_webhook(row) for row in connection.execute(statement)])


def change(
    database: Database, webhook_id: str, *, changed: Callable[[WebhookPlan], WebhookPlan], tenant: str = ""
) -> Webhook | None:
    """Give a webhook the plan that `changed` makes of its own; None when the tenant has none of that id.

    What `changed` raises passes through, and changes nothing.
    """
    mine = (webhook.c.id == webhook_id) & (webhook.c.tenant == tenant)

    def work(connection: Connection) -> Webhook | None:
        row = connection.execute(_WEBHOOKS.where(mine).with_for_update()).one_or_none()
        if row is None:
            return None
        before = as_webhook(row)
        enabled = before.disabled_at is None
        plan = changed(WebhookPlan(url=before.url, events=before.events, name=before.name, enabled=enabled))
        values = {**_columns(plan), "version": row.version + 1}
        if plan.enabled != enabled:
            values["disabled_at"] = None if plan.enabled else clock()
        statement = update(webhook).where(mine).values(values).returning(webhook, clock().label("now"))
        return as_webhook(connection.execute(statement).one())

    return database.write(work)


def remove(database: Database, webhook_id: str, *, tenant: str = "") -> bool:
    """Remove a webhook; returns whether it was there. What is on its way to it is given up by whoever takes it."""
    mine = (webhook.c.id == webhook_id) & (webhook.c.tenant == tenant)
    statement = delete(webhook).where(mine).returning(webhook.c.id)
    return database.write(lambda connection: connection.execute(statement).one_or_none()) is not None


def rotate(database: Database, webhook_id: str, *, tenant: str = "", overlap_seconds: float) -> Webhook | None:
    """Give a webhook another secret; for `overlap_seconds` what is sent is signed with the present one as well.

    Returns None when the tenant has none of that id.
    """
    change = {
        "previous_secret": webhook.c.secret,
        "previous_until": clock(overlap_seconds),
        "secret": new_secret(),
        "version": webhook.c.version + 1,
    }
    mine = (webhook.c.id == webhook_id) & (webhook.c.tenant == tenant)
    statement = update(webhook).where(mine).values(change).returning(webhook, clock().label("now"))
    row = database.write(lambda connection: connection.execute(statement).one_or_none())
    return as_webhook(row) if row else None


def rotate_callbacks(database: Database, *, tenant: str = "", overlap_seconds: float) -> Secrets:
    """Give a tenant's callbacks another secret, as `rotate` does, or their first."""

    def work(connection: Connection) -> Secrets:
        add_callback_secrets(connection, [tenant])
        change = {
            "previous_secret": callback_secret.c.secret,
            "previous_until": clock(overlap_seconds),
            "secret": new_secret(),
        }
        mine = callback_secret.c.tenant == tenant
        statement = update(callback_secret).where(mine).values(change)
        return as_secrets(connection.execute(statement.returning(callback_secret, clock().label("now"))).one())

    return database.write(work)


def add_callback_secrets(connection: Connection, tenants: Collection[str]) -> None:
    """Give those of these tenants a secret whose callbacks have none yet."""
    insert_into = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    rows = [{"tenant": tenant, "secret": new_secret()} for tenant in sorted(tenants)]
    connection.execute(insert_into(callback_secret).on_conflict_do_nothing(), rows)


def as_webhook(row: Row[Any]) -> Webhook:
    """Return the webhook that a row of the `webhook` table, and of the clock as `now`, is about."""
    return Webhook(
        id=row.id,
        tenant=row.tenant,
        url=row.url,
        name=row.name,
        events=tuple(map(EventType, row.events.split())),
        version=row.version,
        created_at=row.created_at,
        disabled_at=row.disabled_at,
        secrets=as_secrets(row),
    )


def as_secrets(row: Row[Any]) -> Secrets:
    """Return the secrets in a row of a webhook, or of a tenant's callbacks, and of the clock as `now`."""
    return Secrets(
        secret=row.secret, previous_secret=row.previous_secret, previous_until=row.previous_until, now=row.now
    )
