"""API keys in the store: made, found, rotated and revoked, and never removed, since the audit trail names them."""

from collections.abc import Collection, Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Row, func, insert, null, select, update

from offload_shared.ids import new_id
from offload_shared.keys import ApiKey, Scope, hashed, new_secret, written
from offload_shared.store.clock import clock
from offload_shared.store.database import Database
from offload_shared.store.schema import api_key

_KEYS = select(api_key, clock().label("now"))


def create(
    database: Database, *, tenant: str, name: str, scopes: Collection[Scope], expires_in_seconds: float | None = None
) -> tuple[ApiKey, str]:
    """Make a key; returns it, and how it is written, which nobody can find out later."""
    key_id, secret = new_id(), new_secret()
    values = {
        "id": key_id,
        "tenant": tenant,
        "name": name,
        "scopes": " ".join(sorted(set(scopes))),
        "secret_sha256": hashed(secret),
        "created_at": clock(),
        "expires_at": null() if expires_in_seconds is None else clock(expires_in_seconds),
    }
    statement = insert(api_key).values(values).returning(api_key, clock().label("now"))
    row = database.write(lambda connection: connection.execute(statement).one())
    return _key(row), written(key_id, secret)


def find(database: Database, key_ids: Sequence[str]) -> dict[str, ApiKey]:
    """Return those of these keys that there are, revoked and expired ones too."""
    statement = _KEYS.where(api_key.c.id.in_(key_ids))
    return database.read(lambda connection: {row.id: _key(row) for row in connection.execute(statement)})


class WantedKeys(msgspec.Struct, frozen=True, kw_only=True):
    """Which keys are listed, revoked and expired ones too."""

    tenant: str | None  # None: those of all tenants


def page(database: Database, wanted: WantedKeys, *, size: int, older_than: str | None = None) -> list[ApiKey]:
    """Return up to `size` keys, the newest first, that are older than the one of this id."""
    older = [api_key.c.id < older_than] if older_than is not None else []
    statement = _KEYS.where(*_of(wanted.tenant), *older).order_by(api_key.c.id.desc()).limit(size)
    return database.read(lambda connection: [_key(row) for row in connection.execute(statement)])


def rotate(database: Database, key_id: str, *, tenant: str | None, overlap_seconds: float) -> tuple[ApiKey, str] | None:
    """Give a key another secret; the present one is good for `overlap_seconds` more, one before it no longer.

    Returns the key, and how it is written now; None when the tenant (None: anybody) has none of that id, or it is
    revoked or has expired.
    """
    secret = new_secret()
    change = {
        "previous_sha256": api_key.c.secret_sha256,
        "previous_until": clock(overlap_seconds),
        "secret_sha256": hashed(secret),
    }
    usable = api_key.c.revoked_at.is_(None) & (func.coalesce(api_key.c.expires_at, clock(1)) > clock())
    statement = (
        update(api_key)
        .where(api_key.c.id == key_id, usable, *_of(tenant))
        .values(change)
        .returning(api_key, clock().label("now"))
    )
    row = database.write(lambda connection: connection.execute(statement).one_or_none())
    return (_key(row), written(key_id, secret)) if row else None


def revoke(database: Database, key_id: str, *, tenant: str | None) -> bool:
    """End a key for good; returns whether the tenant (None: anybody) has one of that id. Safe to repeat."""
    change = {"revoked_at": func.coalesce(api_key.c.revoked_at, clock())}
    statement = update(api_key).where(api_key.c.id == key_id, *_of(tenant)).values(change).returning(api_key.c.id)
    return database.write(lambda connection: connection.execute(statement).first()) is not None


def _of(tenant: str | None) -> list[ColumnElement[bool]]:
    return [] if tenant is None else [api_key.c.tenant == tenant]


def _key(row: Row[Any]) -> ApiKey:
    return ApiKey(
        id=row.id,
        tenant=row.tenant,
        name=row.name,
        scopes=frozenset(map(Scope, row.scopes.split())),
        secret_sha256=row.secret_sha256,
        previous_sha256=row.previous_sha256,
        previous_until=row.previous_until,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        now=row.now,
    )
