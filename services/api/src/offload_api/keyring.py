"""Finds out whose key a request carries; what is known of a key is remembered for some seconds."""

import time
from collections.abc import Awaitable, Callable, Sequence
from hmac import compare_digest
from http import HTTPStatus
from typing import TypeVar

import msgspec

from offload_api.access import Caller
from offload_api.coalescing import Coalescer
from offload_api.problems import Problem
from offload_shared.keys import ApiKey, hashed, taken_apart

#: A key that is revoked in another process may be taken for so long.
REMEMBERED_SECONDS = 5.0
#: Past so many they are all forgotten: ids that somebody makes up are not to fill the memory. They are kept apart, for
#: they are not to push out the keys there are, either.
MOST_REMEMBERED = 10_000

Clock = Callable[[], float]
T = TypeVar("T")


class _Known(msgspec.Struct, frozen=True):
    caller: Caller
    secret_sha256: str
    previous_sha256: str | None
    until: float  # by the process's clock: when the store is to be asked again
    ends: float  # when the key expires
    previous_ends: float


class Keyring:
    """`find` looks keys up by their ids, revoked and expired ones too."""

    def __init__(
        self,
        find: Callable[[Sequence[str]], Awaitable[dict[str, ApiKey]]],
        *,
        answer_seconds: float = 2.5,
        clock: Clock = time.monotonic,
    ) -> None:
        async def look_up(key_ids: Sequence[str]) -> list[ApiKey | None]:
            found = await find(list(set(key_ids)))
            return [found.get(key_id) for key_id in key_ids]

        # Whoever sends made-up keys, however many at once, costs one statement at a time.
        self._lookups: Coalescer[str, ApiKey | None] = Coalescer(look_up, answer_seconds=answer_seconds)
        self._known: dict[str, _Known] = {}
        self._refused: dict[str, float] = {}  # until when it is known that there is none, or none any more
        self._clock = clock

    async def identify(self, authorization: Sequence[bytes]) -> Caller:
        """Return who is allowed what by a request's Authorization headers.

        Raises `Problem` 401, and `StoreUnavailable` when the key is not known and cannot be looked up.
        """
        if not authorization:
            raise _unauthenticated("Send a key: Authorization: Bearer ofl_...", error=None)
        kind, _, token = authorization[0].decode("latin-1").partition(" ")
        apart = taken_apart(token.strip()) if kind.lower() == "bearer" and len(authorization) == 1 else None
        if apart is None:
            raise _unauthenticated("The Authorization header is not one `Bearer ofl_...`.", error="invalid_token")
        key_id, secret = apart
        now = self._clock()
        known = self._known.get(key_id)
        if (known is None or now >= known.until) and now >= self._refused.get(key_id, now):
            known = self._remember(key_id, await self._lookups.submit(key_id))
        if known is None or not _is_good(known, hashed(secret), now):
            raise _unauthenticated("There is no such key, or it was revoked, or it has expired.", error="invalid_token")
        return known.caller

    def forget(self, key_id: str) -> None:
        """Look a key up again the next time: it has just been changed."""
        self._known.pop(key_id, None)
        self._refused.pop(key_id, None)

    def _remember(self, key_id: str, key: ApiKey | None) -> _Known | None:
        self.forget(key_id)
        now = self._clock()
        if key is None or key.revoked_at is not None:
            _put(self._refused, key_id, now + REMEMBERED_SECONDS)
            return None
        known = _known(key, now)
        _put(self._known, key_id, known)
        return known


def _put(remembered: dict[str, T], key_id: str, value: T) -> None:
    if len(remembered) >= MOST_REMEMBERED:
        remembered.clear()
    remembered[key_id] = value


def _known(key: ApiKey, now: float) -> _Known:
    return _Known(
        caller=Caller(tenant=key.tenant, key_id=key.id, scopes=key.scopes),
        secret_sha256=key.secret_sha256,
        previous_sha256=key.previous_sha256,
        until=now + REMEMBERED_SECONDS,
        ends=now + (key.expires_at - key.now).total_seconds() if key.expires_at else float("inf"),
        previous_ends=now + (key.previous_until - key.now).total_seconds() if key.previous_until else now,
    )


def _is_good(known: _Known, secret_sha256: str, now: float) -> bool:
    # Both are compared, and in constant time, so that how long it takes tells nothing of how near a guess was.
    present = compare_digest(known.secret_sha256, secret_sha256)
    previous = compare_digest(known.previous_sha256 or known.secret_sha256, secret_sha256)
    return (present or (previous and now < known.previous_ends)) and now < known.ends


def _unauthenticated(detail: str, *, error: str | None) -> Problem:
    headers = {"WWW-Authenticate": f'Bearer error="{error}"' if error else "Bearer"}
    return Problem(HTTPStatus.UNAUTHORIZED, "unauthenticated", "A valid key is needed", detail, headers=headers)
