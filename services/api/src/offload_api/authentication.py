"""Finds out who sends a request where both keys and tokens let in."""

from collections.abc import Sequence

import msgspec

from offload_api.access import Caller
from offload_api.keyring import Keyring
from offload_api.tokens import Tokens, unauthenticated, written


class Authentication(msgspec.Struct, frozen=True):
    """Tells tokens from keys by how they are written."""

    keyring: Keyring
    tokens: Tokens

    async def identify(self, authorization: Sequence[bytes]) -> Caller:
        """Return who is allowed what by a request's Authorization headers.

        Raises `Problem` 401, and `StoreUnavailable` or `IssuerUnavailable` when that cannot be found out now.
        """
        if not authorization:
            detail = "Send a key or a token: Authorization: Bearer ofl_..., or Bearer and a signed JWT."
            raise unauthenticated(detail, error=None)
        known = self.keyring if written(authorization) is None else self.tokens
        return await known.identify(authorization)
