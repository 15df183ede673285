"""Deliveries of webhooks: added with what they tell of, taken, settled, listed and replayed.

A delivery is added in the very transaction that ends its job: there is no moment at which one is stored and the other
is not. `due_at` alone says when it is to be sent. It is the outbox, since it begins as the moment of the end; the lease
of whoever has taken it, who moves it on first and sends then; and the pause before the next try. So whatever is killed,
somebody takes it later, and a server may be told twice, never not at all.

Whoever takes it counts it as a failure, which only a success that is noted makes good: an attempt that nothing is heard
of is one of those that it may have, and none goes on for ever.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    Label,
    Row,
    Select,
    String,
    and_,
    bindparam,
    case,
    cast,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)

from offload_shared.ids import new_id
from offload_shared.job import JobState
from offload_shared.store.clock import clock, now
from offload_shared.store.database import Database
from offload_shared.store.schema import callback_secret, delivery, job, webhook
from offload_shared.store.webhooks import add_callback_secrets, as_secrets
from offload_shared.webhook import (
    CALLBACKS,
    EVENTS,
    Delivery,
    DeliveryState,
    EventType,
    Secrets,
    Taken,
    Try,
    callback_target,
)

#: Of what has to be sent again and again, only the latest tries are kept.
MOST_TRIES_KEPT = 20
#: Of servers that are looked at together.
MOST_TARGETS = 500
BATCH = 500
#: Each failure makes the next lease twice as long, up to so many of them: where a store is too slow for one, or an
#: attempt kills whoever makes it, the next ones come ever more seldom.
MOST_DOUBLINGS = 9

NOT_HEARD = "given up: the webhook is disabled, or removed"

_PENDING = delivery.c.state == DeliveryState.PENDING


def heard() -> Label[bool]:
    """Return, as a column of a statement about jobs, whether anybody is told of a job's end.

    It is asked for in the statement that locks the job, and costs it a look at an index that mostly is empty.
    """
    hears = exists().where(webhook.c.tenant == job.c.tenant, webhook.c.disabled_at.is_(None))
    return or_(job.c.callback_url.is_not(None), hears.correlate(job)).label("heard")


def add_of(connection: Connection, ended: Sequence[Row[Any]], state: JobState) -> None:
    """Add the deliveries that tell of these jobs, which end so in the same transaction."""
    event = EVENTS[state]
    hear = select(webhook.c.id, webhook.c.tenant, webhook.c.events).where(
        webhook.c.tenant.in_({row.tenant for row in ended}), webhook.c.disabled_at.is_(None)
    )
    webhooks = [row for row in connection.execute(hear) if event in row.events.split()]
    added = [_row(each, event, webhook_id=one.id) for each in ended for one in webhooks if one.tenant == each.tenant]
    added += [_row(each, event, url=each.callback_url) for each in ended if each.callback_url]
    if added:
        moments = {"created_at": clock(), "due_at": clock()}
        connection.execute(insert(delivery).values(moments), added)


def _row(ended: Row[Any], event: EventType, *, webhook_id: str | None = None, url: str | None = None) -> dict[str, Any]:
    return {
        "id": new_id(),
        "tenant": ended.tenant,
        "webhook_id": webhook_id,
        "url": url,
        "target": webhook_id or callback_target(ended.tenant, url or ""),
        "job_id": ended.id,
        "event": event,
        "state": DeliveryState.PENDING,
        "attempt": 0,
        "failures": 0,
        "tries": "[]",
    }


def unmade() -> ColumnElement[bool]:
    """Return the condition that something of a job has still to be told, and what is told not made yet."""
    return exists().where(delivery.c.job_id == job.c.id, _PENDING, delivery.c.payload.is_(None)).correlate(job)


def is_unmade(connection: Connection, job_id: str) -> bool:
    """Say the same of one job, whose row the transaction has locked by a statement before this one."""
    statement = select(delivery.c.id).where(delivery.c.job_id == job_id, _PENDING, delivery.c.payload.is_(None))
    return connection.execute(statement.limit(1)).first() is not None


def make(database: Database, job_id: str, payload: str) -> None:
    """Store what is told of a job's end, where it is not made yet."""
    mine = (delivery.c.job_id == job_id) & _PENDING & delivery.c.payload.is_(None)
    statement = update(delivery).where(mine).values(payload=payload)
    database.write(lambda connection: connection.execute(statement))


class Targets(msgspec.Struct, frozen=True):
    """Some targets that have a delivery due, and behind which the others are; empty: these were the last."""

    due: dict[str, str]  # the tenant of each
    last: str


def due_targets(database: Database, *, after: str = "") -> Targets:
    """Return which of the next targets behind this one have a delivery due.

    However many deliveries one target has, it is one step of an index to the next: none can hide the others.
    """
    if not database.read(lambda connection: connection.execute(_ANY_DUE).first()):
        return Targets({}, "")
    rows = database.read(lambda connection: connection.execute(_heads(after)).all())
    due = {row.target: row.tenant for row in rows if row.tenant is not None}
    return Targets(due, rows[-1].target if len(rows) == MOST_TARGETS else "")


_ANY_DUE = select(delivery.c.id).where(_PENDING, delivery.c.due_at <= now()).limit(1)


def _heads(after: str) -> Select[Any]:
    first = select(func.min(delivery.c.target).label("target"), literal(1).label("number"))
    heads = first.where(_PENDING, delivery.c.target > after).cte("heads", recursive=True)
    following = select(func.min(delivery.c.target)).where(_PENDING, delivery.c.target > heads.c.target)
    heads = heads.union_all(
        select(cast(following.scalar_subquery(), String(64)), heads.c.number + 1).where(
            heads.c.target.is_not(None), heads.c.number < MOST_TARGETS
        )
    )
    due = _due(heads.c.target, delivery.c.tenant).limit(1).correlate(heads)
    return (
        select(heads.c.target, due.scalar_subquery().label("tenant"))
        .where(heads.c.target.is_not(None))
        .order_by(heads.c.target)
    )


def take(database: Database, wanted: Mapping[str, int], *, lease_seconds: float) -> list[Taken]:
    """Take up to so many due deliveries of each target; nobody else takes them before the lease is over.

    The lease is the longer, the more attempts have failed. Those of a webhook that is disabled, or removed, are given
    up, a batch of them.
    """

    def work(connection: Connection) -> list[Taken]:
        servers = _servers(connection, wanted)
        ids, left = list[str](), BATCH
        for target, most in sorted(wanted.items()):
            if target in servers or target.startswith(CALLBACKS):
                some = _due(target, delivery.c.id).limit(most)
                ids += connection.execute(some.with_for_update(skip_locked=True)).scalars()
            else:
                left -= _give_up(connection, target, left)
        if not ids:
            return []
        change = {
            "attempt": delivery.c.attempt + 1,
            "failures": delivery.c.failures + 1,
            "due_at": clock(_lease_seconds(lease_seconds)),
        }
        rows = connection.execute(update(delivery).where(delivery.c.id.in_(ids)).values(change).returning(delivery))
        taken = rows.all()
        secrets = _callback_secrets(connection, {row.tenant for row in taken if row.webhook_id is None})
        return [_taken(row, *(servers.get(row.target) or (row.url, secrets[row.tenant]))) for row in taken]

    return database.write(work)


def _lease_seconds(first: float) -> ColumnElement[float]:
    longer = {failures: first * 2.0**failures for failures in range(MOST_DOUBLINGS)}
    return case(longer, value=delivery.c.failures, else_=first * 2.0**MOST_DOUBLINGS)


def _due(target: str | ColumnElement[str], *columns: ColumnElement[Any]) -> Select[Any]:
    due = _PENDING & (delivery.c.target == target) & (delivery.c.due_at <= now())
    return select(*columns).where(due).order_by(delivery.c.due_at)


def _servers(connection: Connection, targets: Mapping[str, int]) -> dict[str, tuple[str, Secrets]]:
    enabled = webhook.c.id.in_(list(targets)) & webhook.c.disabled_at.is_(None)
    rows = connection.execute(select(webhook, clock().label("now")).where(enabled))
    return {row.id: (row.url, as_secrets(row)) for row in rows}


def _callback_secrets(connection: Connection, tenants: set[str]) -> dict[str, Secrets]:
    if not tenants:
        return {}
    statement = select(callback_secret, clock().label("now")).where(callback_secret.c.tenant.in_(tenants))
    found = {row.tenant: as_secrets(row) for row in connection.execute(statement)}
    if missing := tenants - found.keys():
        add_callback_secrets(connection, missing)
        found = {row.tenant: as_secrets(row) for row in connection.execute(statement)}
    return found


def _give_up(connection: Connection, target: str, most: int) -> int:
    some = _due(target, delivery.c.id, delivery.c.tries, clock().label("now")).limit(most)
    rows = connection.execute(some.with_for_update(skip_locked=True)).all()
    if rows:
        change = {"state": DeliveryState.FAILED, "finished_at": clock(), "tries": bindparam("tried")}
        statement = update(delivery).where(delivery.c.id == bindparam("given_up")).values(change)
        untold = [(row.id, _tried(row, Try(at=row.now, seconds=0.0, error=NOT_HEARD))) for row in rows]
        connection.execute(statement, [{"given_up": id_, "tried": tried} for id_, tried in untold])
    return len(rows)


def _taken(row: Row[Any], url: str, secrets: Secrets) -> Taken:
    return Taken(
        id=row.id,
        attempt=row.attempt,
        failures=row.failures,
        target=row.target,
        tenant=row.tenant,
        job_id=row.job_id,
        event=EventType(row.event),
        payload=row.payload,
        url=url,
        secrets=secrets,
    )


def settle(
    database: Database,
    taken: Taken,
    made: Try,
    state: DeliveryState,
    *,
    payload: str | None,
    retry_seconds: float = 0.0,
    disable: bool = False,
) -> bool:
    """Note how an attempt to deliver ended; returns whether it was this attempt's to say.

    A delivery that stays pending is due again in `retry_seconds`. With `disable` its webhook gets no further ones,
    unless it leads elsewhere by now: then this one stays pending, and goes there.
    """
    mine = (delivery.c.id == taken.id) & (delivery.c.attempt == taken.attempt) & _PENDING

    def work(connection: Connection) -> bool:
        row = connection.execute(select(delivery.c.tries).where(mine).with_for_update()).one_or_none()
        if row is None:
            return False
        ends = state is not DeliveryState.PENDING and (not disable or _disable(connection, taken))
        change: dict[str, Any] = {
            "state": state if ends else DeliveryState.PENDING,
            "tries": _tried(row, made),
        }
        if payload is not None:
            change["payload"] = payload
        change |= {"finished_at": clock()} if ends else {"due_at": clock(retry_seconds)}
        connection.execute(update(delivery).where(mine).values(change))
        return True

    return database.write(work)


def _disable(connection: Connection, taken: Taken) -> bool:
    told = and_(webhook.c.id == taken.target, webhook.c.url == taken.url, webhook.c.disabled_at.is_(None))
    change = {"disabled_at": clock(), "version": webhook.c.version + 1}
    return bool(connection.execute(update(webhook).where(told).values(change)).rowcount)


class WantedDeliveries(msgspec.Struct, frozen=True, kw_only=True):
    """Which deliveries are listed: those of which all of this holds."""

    webhook_id: str | None  # None: callbacks
    tenant: str = ""
    state: DeliveryState | None = None
    job_id: str | None = None


def page(database: Database, wanted: WantedDeliveries, *, size: int, older_than: str | None = None) -> list[Delivery]:
    """Return up to `size` deliveries, the newest first, that are older than the one of this id."""
    conditions = [delivery.c.tenant == wanted.tenant, delivery.c.webhook_id == wanted.webhook_id]
    if wanted.state is not None:
        # Written out: the index of those that are not delivered serves whoever is known to want no others.
        conditions.append(delivery.c.state == bindparam(None, wanted.state, String, literal_execute=True))
    if wanted.job_id is not None:
        conditions.append(delivery.c.job_id == wanted.job_id)
    if older_than is not None:
        conditions.append(delivery.c.id < older_than)
    statement = select(delivery).where(*conditions).order_by(delivery.c.id.desc()).limit(size)
    return database.read(lambda connection: [_as_delivery(row) for row in connection.execute(statement)])


def replay(database: Database, delivery_id: str, *, webhook_id: str | None, tenant: str = "") -> Delivery | None:
    """Let a delivery be made once more, whatever came of it; None when the tenant's webhook has none of that id."""
    mine = (delivery.c.id == delivery_id) & (delivery.c.tenant == tenant) & (delivery.c.webhook_id == webhook_id)
    change = {"state": DeliveryState.PENDING, "failures": 0, "due_at": clock(), "finished_at": None}
    statement = update(delivery).where(mine).values(change).returning(delivery)
    row = database.write(lambda connection: connection.execute(statement).one_or_none())
    return _as_delivery(row) if row else None


def forget(database: Database, *, days: float) -> int:
    """Remove deliveries that ended and are older, a batch of them; returns how many."""
    # A moment that is known is turned into an id, which there is an index of; ids begin with the time.
    moment = database.read(lambda connection: connection.execute(select(now())).scalar_one())
    oldest = f"{max(0, int((moment.timestamp() - days * 86_400) * 1000)):012x}"
    old = select(delivery.c.id).where(delivery.c.id < oldest, ~_PENDING).order_by(delivery.c.id).limit(BATCH)
    if not (ids := database.read(lambda connection: connection.execute(old).scalars().all())):
        return 0
    ended = delivery.c.id.in_(ids) & ~_PENDING
    database.write(lambda connection: connection.execute(delete(delivery).where(ended)))
    return len(ids)


def _tries(row: Row[Any]) -> list[Try]:
    return msgspec.json.decode(row.tries, type=list[Try])


def _tried(row: Row[Any], made: Try) -> str:
    return msgspec.json.encode([*_tries(row), made][-MOST_TRIES_KEPT:]).decode()


def _as_delivery(row: Row[Any]) -> Delivery:
    return Delivery(
        id=row.id,
        webhook_id=row.webhook_id,
        url=row.url,
        job_id=row.job_id,
        event=EventType(row.event),
        state=DeliveryState(row.state),
        attempt=row.attempt,
        created_at=row.created_at,
        due_at=row.due_at,
        finished_at=row.finished_at,
        tries=_tries(row),
    )
