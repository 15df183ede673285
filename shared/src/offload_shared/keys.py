"""API keys: what they look like, what is kept of them, and what they may be used for."""

import hashlib
import re
import secrets
from datetime import datetime
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from offload_shared.ids import LENGTH

#: How every key begins, for whoever looks for secrets where they should not be.
PREFIX = "ofl"
SECRET_BYTES = 32
#: Whose jobs are made without a key; its administrators are those of the whole installation.
DEFAULT_TENANT = ""

#: An empty name is the default tenant's. To Python a line feed may stand before `$`.
TENANT_PATTERN = r"^([A-Za-z0-9][A-Za-z0-9._-]{0,63})?(?!\n)$"
NAME_PATTERN = r"^[^\u0000-\u001f\u007f-\u009f]*(?!\n)$"
LONGEST_NAME = 100
LONGEST_LIFE_SECONDS = 10 * 366 * 86_400.0
#: For so long after a rotation the secret before it is good too, unless told otherwise: clients have to learn of it.
OVERLAP_SECONDS = 3600.0
LONGEST_OVERLAP_SECONDS = 30 * 86_400.0

_WRITTEN = re.compile(rf"{PREFIX}_([0-9a-f]{{{LENGTH}}})_([0-9a-f]{{{2 * SECRET_BYTES}}})")

Tenant = Annotated[str, Meta(pattern=TENANT_PATTERN)]
KeyName = Annotated[str, Meta(max_length=LONGEST_NAME, pattern=NAME_PATTERN)]


class Scope(StrEnum):
    """What a key allows; none includes another."""

    SUBMIT = "submit"  # upload files, submit jobs, run them again
    READ = "read"  # look at jobs and all that they leave
    CANCEL = "cancel"  # cancel jobs, and remove those that have ended
    ADMIN = "admin"  # make and revoke keys, read what was done by whom


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key as the store has it: never the secret, only its hash."""

    id: str
    tenant: str
    name: str
    scopes: frozenset[Scope]
    secret_sha256: str
    previous_sha256: str | None  # the secret before the last rotation, good until `previous_until`
    previous_until: datetime | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    now: datetime  # the store's clock when the key was read: only it is compared with the other times


def new_secret() -> str:
    """Return 256 random bits as hexadecimal digits."""
    return secrets.token_hex(SECRET_BYTES)


def hashed(secret: str) -> str:
    """Return what is stored instead of a secret.

    A slow hash makes guessing what people choose expensive. Nobody guesses 256 random bits, however fast the hash is,
    and a fast one can be afforded with each request.
    """
    return hashlib.sha256(secret.encode()).hexdigest()


def written(key_id: str, secret: str) -> str:
    """Return a key as its owner gets it."""
    return f"{PREFIX}_{key_id}_{secret}"


def taken_apart(key: str) -> tuple[str, str] | None:
    """Return the id and the secret of a written key, or None when it is none."""
    match = _WRITTEN.fullmatch(key)
    return (match[1], match[2]) if match else None
