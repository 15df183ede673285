"""Knows the keys that the issuer of tokens signs with: found by OpenID Connect Discovery, and kept up to date.

They are fetched in the background, and when a token names a key that is not known: an issuer that has just changed its
keys is followed at once. However many tokens with made-up ids come, it is asked once at a time and with a pause.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

import msgspec
from jwt.algorithms import AllowedPublicKeys

from offload_api import fetching
from offload_api.jwks import KeySet, key_set
from offload_shared.errors import IssuerUnavailable

#: A key that the issuer takes back is taken here for so long at most, while the issuer can be reached.
REFRESH_SECONDS = 300.0
#: Between two attempts, whatever comes.
PAUSE_SECONDS = 5.0
#: While the issuer is away its keys are good for so long: about as long as the tokens that it has issued.
KEPT_SECONDS = 3600.0

_log = logging.getLogger(__name__)


class _Configuration(msgspec.Struct):
    issuer: str
    jwks_uri: str


async def fetch(url: str) -> bytes:
    """Fetch on a thread; raises `IssuerUnavailable`."""
    return await asyncio.to_thread(fetching.fetch, url)


class Issuer:
    """An issuer by its URL; calls it once something is asked for, or by `step`."""

    def __init__(
        self,
        url: str,
        *,
        fetch: Callable[[str], Awaitable[bytes]] = fetch,
        answer_seconds: float = 2.5,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.url = url
        self._fetch = fetch
        self._answer_seconds = answer_seconds
        self._clock = clock
        self._keys: KeySet = {}
        self._fetched_at = -float("inf")
        self._tried_at = -float("inf")
        self._failing = False
        self._flight: asyncio.Task[None] | None = None

    @property
    def keys(self) -> KeySet:
        """The keys that are good now: another object whenever they have changed, empty once they are too old."""
        if self._keys and self._clock() >= self._fetched_at + KEPT_SECONDS:
            self._keys = {}
        return self._keys

    async def key(self, kid: str, algorithm: str) -> AllowedPublicKeys | None:
        """Return a key, or None when the issuer has none of this id for this algorithm.

        Raises `IssuerUnavailable` when it is not known and the issuer cannot be asked.
        """
        found = self.keys.get((kid, algorithm))
        if found is None and (self._flight is not None or self._is_due(PAUSE_SECONDS)):
            await self._refresh()
            found = self.keys.get((kid, algorithm))
        if found is None and (self._failing or self._flight is not None):
            raise IssuerUnavailable("the issuer of tokens cannot be asked for its keys")
        return found

    async def step(self) -> None:
        """Fetch the keys again, when their time has come."""
        if self._is_due(PAUSE_SECONDS if self._failing else REFRESH_SECONDS):
            await self._refresh()

    def _is_due(self, pause_seconds: float) -> bool:
        return self._clock() >= self._tried_at + pause_seconds

    async def _refresh(self) -> None:
        # Whoever comes meanwhile waits for the same attempt, and nobody for longer than a request may take.
        if self._flight is None:
            self._tried_at = self._clock()
            self._flight = asyncio.create_task(self._attempt())
        flight = self._flight
        await asyncio.wait([flight], timeout=self._answer_seconds)
        if flight.done():
            flight.result()  # a mistake of ours is not to go unsaid

    async def _attempt(self) -> None:
        try:
            found = await self._fetched()
        except IssuerUnavailable as error:
            if not self._failing:
                _log.warning("tokens are verified with the keys that are known: %s", error)
            self._failing = True
        else:
            if self._failing:
                _log.info("the issuer of tokens can be asked for its keys again")
            self._failing = False
            self._fetched_at = self._clock()
            if not _same(found, self._keys):
                self._keys = found
        finally:
            self._flight = None

    async def _fetched(self) -> KeySet:
        described = fetching.configuration_url(self.url)
        try:
            configuration = msgspec.json.decode(await self._fetch(described), type=_Configuration)
            if configuration.issuer != self.url:
                # Who answers here is another, or calls itself otherwise, and so do its tokens.
                told = f"{described} is of the issuer {configuration.issuer!r}, not of OFFLOAD_JWT_ISSUER {self.url!r}"
                raise IssuerUnavailable(told)
            found = key_set(await self._fetch(configuration.jwks_uri))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise IssuerUnavailable(f"what {described} leads to makes no sense: {error}") from None
        if not found:
            raise IssuerUnavailable(f"{configuration.jwks_uri} has no key that tokens can be verified with")
        return found


def _same(one: KeySet, other: KeySet) -> bool:
    return one.keys() == other.keys() and all(key == other[name] for name, key in one.items())
