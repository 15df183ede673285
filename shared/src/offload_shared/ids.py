"""Ids of jobs and files."""

import re
import secrets
import time

LENGTH = 32

_ID = re.compile(f"[0-9a-f]{{{LENGTH}}}")


def new_id() -> str:
    """Return a UUID of version 7 (RFC 9562) as 32 hexadecimal digits.

    It starts with the time, so that new rows land side by side in the store's indexes.
    """
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds & (2**48 - 1)) << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76  # the version
    value = value & ~(0x3 << 62) | 0x2 << 62  # the variant
    return f"{value:032x}"


def is_id(text: str) -> bool:
    """Say whether this can be one of ours."""
    return _ID.fullmatch(text) is not None
