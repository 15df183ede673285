"""Reads request headers: entity tags (RFC 9110), preferences (RFC 7240), idempotency keys."""

import re

from litestar.datastructures import Headers

from offload_api.problems import malformed

LONGEST_WAIT_SECONDS = 30
LONGEST_KEY = 255
KEY_PATTERN = r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?"

_ETAG = re.compile(r'(?:W/)?("[^"]*")')
_KEY = re.compile(KEY_PATTERN)


def matches(headers: Headers, etag: str) -> bool:
    """Say whether If-None-Match names this entity tag; compared weakly, as a cache's question is."""
    wanted = ",".join(headers.getall("if-none-match", []))
    return wanted.strip() == "*" or etag in _ETAG.findall(wanted)


def preferred_wait_seconds(headers: Headers) -> int:
    """Return how long the client would wait for a change, at most 30 s; 0 when it does not say, or makes no sense."""
    for preference in ",".join(headers.getall("prefer", [])).split(","):
        name, _, value = preference.partition(";")[0].partition("=")
        digits = value.strip().strip('"')
        if name.strip().lower() == "wait" and digits.isascii() and digits.isdigit():
            return min(int(digits[:6]), LONGEST_WAIT_SECONDS)
    return 0


def idempotency_key(headers: Headers) -> str | None:
    """Return the key that makes repeating a submit safe, if there is one; raises `Problem` 400 when unusable."""
    keys = headers.getall("idempotency-key", [])
    if not keys:
        return None
    if len(keys) > 1 or len(keys[0]) > LONGEST_KEY or not _KEY.fullmatch(keys[0]):
        raise malformed(f"Idempotency-Key must be given once, as 1 to {LONGEST_KEY} printable ASCII characters.")
    return keys[0]
