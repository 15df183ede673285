"""Range requests for a single range of bytes (RFC 9110, section 14)."""

import re

_SINGLE = re.compile(r"bytes\s*=\s*(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))\s*")


class RangeUnsatisfiable(Exception):  # noqa: N818
    """The range begins behind the end."""


def requested_range(header: str, size: int) -> tuple[int, int] | None:
    """Return the first byte and the one after the last; None when the whole is to be sent.

    Several ranges, other units and what is malformed are ignored, as a server may. Raises `RangeUnsatisfiable`.
    """
    match = _SINGLE.fullmatch(header.strip())
    if match is None:
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        start, end = max(0, size - int(suffix)), size
    else:
        start, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < int(first):
            return None
    if start >= size or start >= end:
        raise RangeUnsatisfiable
    return start, end
