"""`offload-api keys`: makes, lists, rotates and revokes API keys, in the store itself: so the first can be made."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated

import typer

from offload_api.settings import ApiSettings
from offload_shared.errors import OffloadError
from offload_shared.keys import (
    DEFAULT_TENANT,
    LONGEST_LIFE_SECONDS,
    LONGEST_NAME,
    LONGEST_OVERLAP_SECONDS,
    OVERLAP_SECONDS,
    TENANT_PATTERN,
    ApiKey,
    Scope,
)
from offload_shared.settings import load
from offload_shared.store import api_keys
from offload_shared.store.api_keys import WantedKeys
from offload_shared.store.database import Database
from offload_shared.store.migrate import migrate

commands = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Make, list, rotate and revoke API keys, in the store that OFFLOAD_STORE_URL names.",
)

#: How many keys are read at once.
PAGE = 200

KeyId = Annotated[str, typer.Argument(help="The key's id: the part between the two underscores.", metavar="ID")]


def _tenant(value: str | None) -> str | None:
    if value is not None and not re.fullmatch(TENANT_PATTERN, value):
        raise typer.BadParameter("expected up to 64 letters, digits, dots, underscores and dashes")
    return value


@commands.command()
def create(
    scope: Annotated[list[Scope], typer.Option(help="What the key allows; give it once for each.")],
    tenant: Annotated[
        str, typer.Option(callback=_tenant, help="Whose jobs the key reaches; without, the default tenant's.")
    ] = DEFAULT_TENANT,
    name: Annotated[str, typer.Option(help="A word of yours to know the key by.")] = "",
    expires_in_seconds: Annotated[
        float | None, typer.Option(min=1, max=LONGEST_LIFE_SECONDS, help="Without, the key lasts until it is revoked.")
    ] = None,
) -> None:
    """Make a key and print it: the one time that it is shown."""
    if len(name) > LONGEST_NAME or not name.isprintable():
        raise typer.BadParameter(f"expected up to {LONGEST_NAME} printable characters", param_hint="--name")
    with _store() as database:
        key, written = api_keys.create(
            database, tenant=tenant, name=name, scopes=scope, expires_in_seconds=expires_in_seconds
        )
    _show(key, written)


@commands.command("list")
def list_keys(
    tenant: Annotated[
        str | None, typer.Option(callback=_tenant, help="Only this tenant's; an empty word is the default one.")
    ] = None,
) -> None:
    """List keys, the newest first, revoked and expired ones too."""
    with _store() as database:
        rows = [("ID", "TENANT", "NAME", "SCOPES", "CREATED", "STATE"), *map(_row, _listed(database, tenant))]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        typer.echo("  ".join(map(str.ljust, row, widths)).rstrip())


@commands.command()
def rotate(
    key_id: KeyId,
    overlap_seconds: Annotated[
        float, typer.Option(min=0, max=LONGEST_OVERLAP_SECONDS, help="For so long the present secret is good as well.")
    ] = OVERLAP_SECONDS,
) -> None:
    """Give a key another secret and print it: the one time that it is shown."""
    with _store() as database:
        rotated = api_keys.rotate(database, key_id, tenant=None, overlap_seconds=overlap_seconds)
    if rotated is None:
        sys.exit(f"offload-api: there is no key {key_id!r} that could be rotated")
    _show(*rotated)


@commands.command()
def revoke(key_id: KeyId) -> None:
    """End a key for good; API processes that have just used it take notice within 5 seconds."""
    with _store() as database:
        known = api_keys.revoke(database, key_id, tenant=None)
    if not known:
        sys.exit(f"offload-api: there is no key {key_id!r}")


def _listed(database: Database, tenant: str | None) -> Iterator[ApiKey]:
    last_id = None
    while page := api_keys.page(database, WantedKeys(tenant=tenant), size=PAGE, older_than=last_id):
        yield from page
        last_id = page[-1].id


def state_of(key: ApiKey) -> str:
    """Return whether a key is good, in a word."""
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at is not None and key.expires_at <= key.now else "good"


@contextmanager
def _store() -> Iterator[Database]:
    try:
        database = Database(load(ApiSettings, os.environ).store, connections=1)
        migrate(database)
        yield database
    except OffloadError as error:
        sys.exit(f"offload-api: {error}")
    database.dispose()


def _show(key: ApiKey, written: str) -> None:
    # The key alone on standard output, for a shell to catch.
    until = f"until {_time(key.expires_at)}" if key.expires_at else "until it is revoked"
    whose = f"tenant {key.tenant!r}" if key.tenant else "the default tenant"
    typer.echo(f"Key {key.id} of {whose}, for {', '.join(sorted(key.scopes))}, {until}. Keep it:", err=True)
    typer.echo(written)


def _row(key: ApiKey) -> tuple[str, ...]:
    state = state_of(key)
    if state == "good" and key.expires_at is not None:
        state = f"good until {_time(key.expires_at)}"
    return (key.id, key.tenant or "-", key.name or "-", ",".join(sorted(key.scopes)), _time(key.created_at), state)


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
