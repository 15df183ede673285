"""The public keys of an issuer of tokens: which of a JWK set (RFC 7517) are used, and for which algorithms."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from jwt import PyJWK
from jwt.algorithms import AllowedPublicKeys

RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
CURVES = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
#: Asymmetric ones alone: never `none`, and none whose secret the API would have to share.
ALGORITHMS = frozenset({*RSA, *CURVES.values(), "EdDSA"})

#: Smaller ones can be broken; larger ones take long to verify with.
SMALLEST_RSA_BITS = 2048
LARGEST_RSA_BITS = 8192
MOST_KEYS = 100

#: Keys by their ids and by the algorithm that each is for: no token chooses another algorithm for a key.
KeySet = Mapping[tuple[str, str], AllowedPublicKeys]


def key_set(document: bytes) -> KeySet:
    """Return the keys of a JWK set that tokens can be verified with; raises `msgspec.MsgspecError` for what is none.

    Keys for other uses, of other kinds, without an id or malformed are left out, as the standard has it.
    """
    listed = msgspec.json.decode(document, type=_Listed).keys[:MOST_KEYS]
    return {(str(jwk["kid"]), algorithm): key for jwk in listed for algorithm, key in _usable(jwk)}


class _Listed(msgspec.Struct):
    keys: list[dict[str, Any]]


def _usable(jwk: Mapping[str, Any]) -> Iterator[tuple[str, AllowedPublicKeys]]:
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(jwk.get("kid"), str) or jwk.get("use", "sig") != "sig" or "d" in jwk:
        return  # "d": a private key, which an issuer that publishes it signs nothing with any more
    if not isinstance(operations, list) or "verify" not in operations:
        return
    algorithms = [each for each in _algorithms(jwk) if jwk.get("alg", each) == each]
    if not algorithms:
        return
    try:
        key = PyJWK(dict(jwk), algorithms[0]).key
    except Exception:  # noqa: BLE001 - by the library below any kind: whatever is odd about one key, the others are good
        return
    if jwk["kty"] == "RSA" and not SMALLEST_RSA_BITS <= key.key_size <= LARGEST_RSA_BITS:
        return
    for algorithm in algorithms:
        yield algorithm, key


def _algorithms(jwk: Mapping[str, Any]) -> tuple[str, ...]:
    kind, curve = jwk.get("kty"), str(jwk.get("crv"))
    if kind == "RSA":
        return RSA
    if kind == "EC" and curve in CURVES:
        return (CURVES[curve],)
    return ("EdDSA",) if kind == "OKP" and curve in ("Ed25519", "Ed448") else ()
