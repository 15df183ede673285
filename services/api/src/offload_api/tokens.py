"""Finds out whose token a request carries: a JWT that its issuer has signed (RFC 9068)."""

import hashlib
import re
import time
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Any

import jwt
import msgspec
from jwt.exceptions import (
    InvalidAudienceError,
    InvalidIssuerError,
    InvalidSignatureError,
    MissingRequiredClaimError,
    PyJWTError,
)
from msgspec import Meta

from offload_api.access import Caller
from offload_api.issuer import Issuer
from offload_api.jwks import ALGORITHMS, KeySet
from offload_api.problems import Problem
from offload_api.settings import NO_CLAIM, ApiSettings
from offload_shared.keys import DEFAULT_TENANT, TENANT_PATTERN, Scope
from offload_shared.store.audits import SUBJECT_PATTERN

LONGEST_TOKEN = 8192
#: Clocks of two machines may differ by so much.
LEEWAY_SECONDS = 30.0
#: A token that was verified is not verified again for so long, unless its issuer's keys have changed.
REMEMBERED_SECONDS = 60.0
#: Past so many they are all forgotten.
MOST_REMEMBERED = 10_000
#: In lower case: what says that it is an access token, or does not say what it is. Others are for other uses.
TYPES = (None, "jwt", "at+jwt", "application/at+jwt")

_SIGNED = re.compile(r"[A-Za-z0-9_=-]+\.[A-Za-z0-9_=-]+\.[A-Za-z0-9_=-]*")
_TENANT = re.compile(TENANT_PATTERN)
#: The times are held to by the clock that also tells when what is remembered has expired.
_OPTIONS: jwt.types.Options = {"require": ["exp", "sub"], "verify_exp": False, "verify_nbf": False, "verify_iat": False}

#: Seconds since 1970. Neither infinite nor further off than dates go.
Moment = Annotated[float, Meta(ge=0, le=253_402_300_799)]


class _Claims(msgspec.Struct, frozen=True):
    exp: Moment
    sub: Annotated[str, Meta(pattern=SUBJECT_PATTERN)]
    nbf: Moment = 0.0
    iat: Moment = 0.0


class _Verified(msgspec.Struct, frozen=True):
    caller: Caller
    ends: float  # when the token expires, the leeway included
    until: float  # when it is verified again


class Tokens:
    """Takes tokens of one issuer, for one audience."""

    def __init__(self, issuer: Issuer, settings: ApiSettings, *, clock: Callable[[], float] = time.time) -> None:
        self._issuer = issuer
        self._settings = settings
        self._clock = clock
        self._known: dict[bytes, _Verified] = {}  # by the token's hash: the token itself is kept nowhere
        self._known_by: KeySet = {}  # with which keys they were verified

    async def identify(self, authorization: Sequence[bytes]) -> Caller:
        """Return who is allowed what by a request's Authorization headers.

        Raises `Problem` 401, and `IssuerUnavailable` when the key is not known and the issuer cannot be asked for it.
        """
        if not authorization:
            raise unauthenticated("Send a token: Authorization: Bearer ...", error=None)
        token = written(authorization)
        if token is None:
            raise refused("The Authorization header is not one `Bearer` and a signed JWT.")
        if len(token) > LONGEST_TOKEN:
            raise refused(f"The token is longer than {LONGEST_TOKEN} characters.")
        digest = hashlib.sha256(token.encode()).digest()
        now = self._clock()
        verified = self._remembered().get(digest)
        if verified is None or now >= verified.until:
            verified = await self._verify(token)
            known = self._remembered()
            if len(known) >= MOST_REMEMBERED:
                known.clear()
            known[digest] = verified
        if now >= verified.ends:
            raise refused("The token has expired; get another from its issuer.")
        return verified.caller

    def _remembered(self) -> dict[bytes, _Verified]:
        if self._known_by is not self._issuer.keys:  # one of them may have been taken back
            self._known_by = self._issuer.keys
            self._known.clear()
        return self._known

    async def _verify(self, token: str) -> _Verified:
        algorithm, kid = _read_header(token)
        key = await self._issuer.key(kid, algorithm)
        if key is None:
            raise refused("The token is signed with a key that is none of its issuer's; get another from its issuer.")
        audience, issuer = self._settings.jwt_audience, self._settings.jwt_issuer
        try:
            # The algorithm is the one that the key was found for; a token alone chooses none.
            claims = jwt.decode(token, key, algorithms=[algorithm], options=_OPTIONS, audience=audience, issuer=issuer)
            known = msgspec.convert(claims, _Claims)
        except (PyJWTError, msgspec.ValidationError) as error:
            raise refused(_words(error)) from None
        now = self._clock()
        if max(known.nbf, known.iat) > now + LEEWAY_SECONDS:
            raise refused("The token is not valid yet.")
        caller = Caller(
            tenant=self._tenant(claims),
            subject=known.sub,
            scopes=self._scopes(claims),
            scope_prefix=self._settings.jwt_scope_prefix,
        )
        return _Verified(caller, ends=known.exp + LEEWAY_SECONDS, until=now + REMEMBERED_SECONDS)

    def _tenant(self, claims: Mapping[str, Any]) -> str:
        # Whoever is of the default tenant may administer the whole installation. Nobody gets to be by a claim that was
        # forgotten or is empty: only where the operator has said that all tokens are.
        name = self._settings.jwt_tenant_claim
        if name == NO_CLAIM:
            return DEFAULT_TENANT
        tenant = claims.get(name)
        if not isinstance(tenant, str) or not tenant or not _TENANT.fullmatch(tenant):
            told = "letters, digits, dots, underscores and dashes, 64 at most"
            raise refused(f"The token's claim `{name}` does not name a tenant, in {told}; its issuer has to add it.")
        return tenant

    def _scopes(self, claims: Mapping[str, Any]) -> frozenset[Scope]:
        found = claims.get(self._settings.jwt_scope_claim)
        words = found.split(" ") if isinstance(found, str) else found if isinstance(found, list) else []
        prefix = self._settings.jwt_scope_prefix
        return frozenset(each for each in Scope if f"{prefix}{each}" in words)


def written(authorization: Sequence[bytes]) -> str | None:
    """Return the signed JWT that a request's Authorization headers carry, or None when they carry no one."""
    kind, _, token = authorization[0].decode("latin-1").partition(" ") if len(authorization) == 1 else ("", "", "")
    token = token.strip()
    return token if kind.lower() == "bearer" and _SIGNED.fullmatch(token) else None


def refused(detail: str) -> Problem:
    """Return the answer to a token that is not good."""
    return unauthenticated(detail, error="invalid_token")


def unauthenticated(detail: str, *, error: str | None) -> Problem:
    """Return the answer to whoever has not said who they are."""
    headers = {"WWW-Authenticate": f'Bearer error="{error}"' if error else "Bearer"}
    return Problem(HTTPStatus.UNAUTHORIZED, "unauthenticated", "A valid token is needed", detail, headers=headers)


def _read_header(token: str) -> tuple[str, str]:
    """Return the algorithm and the id of the key that a token names; nothing else of its header is followed."""
    try:
        header = jwt.get_unverified_header(token)
    except PyJWTError as error:
        raise refused(_words(error)) from None
    algorithm, kid, kind = (header.get(name) for name in ("alg", "kid", "typ"))
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise refused(f"The token has to be signed by one of {', '.join(sorted(ALGORITHMS))}.")
    if not isinstance(kid, str):
        raise refused("The token's header does not say which key it is signed with, as `kid`.")
    if (kind.lower() if isinstance(kind, str) else kind) not in TYPES:
        raise refused("The token is none for access: its header has another `typ` than `JWT` or `at+jwt`.")
    return algorithm, kid


def _words(error: Exception) -> str:
    if isinstance(error, InvalidSignatureError):
        return "The token's signature is not its issuer's."
    if isinstance(error, InvalidIssuerError):
        return "The token is of another issuer."
    if isinstance(error, InvalidAudienceError):
        return "The token is for another audience; ask its issuer for one for this service."
    if isinstance(error, MissingRequiredClaimError):
        return f"The token has no claim `{error.claim}`."
    if isinstance(error, msgspec.ValidationError):
        return f"A claim of the token is not as it should be: {error}."
    return "The token is malformed."
