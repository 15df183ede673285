"""File names from clients: kept as a description, never used as a path, and safe to hand out again."""

import re
import unicodedata
from urllib.parse import quote, unquote_to_bytes

LONGEST_NAME = 255

_EXTENDED = re.compile(r"filename\*\s*=\s*utf-8'[^']*'([^;\s]+)", re.IGNORECASE)
_PLAIN = re.compile(r'filename\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;\s]+))', re.IGNORECASE)


def from_disposition(header: str) -> str:
    """Return the file name in a Content-Disposition header (RFC 6266, RFC 8187), or an empty text."""
    if extended := _EXTENDED.search(header):
        return unquote_to_bytes(extended[1]).decode(errors="replace")
    if plain := _PLAIN.search(header):
        name = re.sub(r"\\(.)", r"\1", plain[1]) if plain[1] is not None else plain[2]
        # Headers reach us as Latin-1; curl and others simply send UTF-8.
        return name.encode("latin-1", "replace").decode(errors="replace")
    return ""


def cleaned(name: str) -> str:
    """Return a name without what does not print, such as line ends and marks that turn the writing's direction."""
    return "".join(letter for letter in name if unicodedata.category(letter)[0] != "C").strip()[:LONGEST_NAME]


def attachment(name: str) -> str:
    """Return the Content-Disposition header that offers a download by this name, and by no path."""
    last = re.split(r"[/\\]", cleaned(name))[-1].lstrip(".") or "file"
    ascii_only = re.sub(r'[^\x20-\x7e]|["\\%]', "_", last)
    return f"attachment; filename=\"{ascii_only}\"; filename*=UTF-8''{quote(last, safe='')}"
