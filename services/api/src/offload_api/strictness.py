"""What JSON must keep to before it is looked at as anything in particular."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from offload_api.problems import FieldError, invalid, malformed
from offload_shared.references import escaped

DEEPEST_NESTING = 64
LONGEST_INTEGER = 400  # digits: far beyond any float, far below what makes converting one expensive

_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*"?|[][{}]', re.DOTALL)
_DIGITS = re.compile(rf"\d{{{LONGEST_INTEGER + 1}}}")
_STRING_OR_DIGITS = re.compile(rf'"(?:[^"\\]|\\.)*"?|\d{{{LONGEST_INTEGER + 1}}}', re.DOTALL)
#: Control characters but tab and the two that end lines. JSON takes most of them only when escaped.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def require_sound(body: bytes) -> None:
    """Raise `Problem` 400 for what is not UTF-8, or nested or written out beyond reason."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise malformed(f"The body is not UTF-8: byte {error.start} does not belong there.") from None
    if text.count("[") + text.count("{") > DEEPEST_NESTING and _is_nested_too_deep(text):
        raise malformed(f"The body is nested deeper than {DEEPEST_NESTING} levels.")
    if _DIGITS.search(text) and _has_long_number(text):
        raise malformed(f"A number has more than {LONGEST_INTEGER} digits.")


def _is_nested_too_deep(text: str) -> bool:
    # Piece by piece: one call for all of a large text would keep every other thread waiting.
    depth = 0
    for found in _STRING_OR_BRACKET.finditer(text):
        if found[0] in ("[", "{"):
            depth += 1
            if depth > DEEPEST_NESTING:
                return True
        elif found[0] in ("]", "}"):
            depth -= 1
    return False


def _has_long_number(text: str) -> bool:
    # Digits in a text are no number.
    return any(not found[0].startswith('"') for found in _STRING_OR_DIGITS.finditer(text))


def require_printable(body: bytes) -> None:
    """Raise `Problem` 422 when a text of a well-formed body holds a control character: no database takes NUL."""
    text = body.decode()
    if "\\" not in text and not _CONTROL.search(text):
        return
    found = list(_unprintable(msgspec.json.decode(body)))
    if found:
        raise invalid([FieldError(pointer, "contains a control character") for pointer in found])


def _unprintable(value: Any, pointer: str = "") -> Iterator[str]:
    if isinstance(value, str) and _CONTROL.search(value):
        yield pointer
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unprintable(item, f"{pointer}/{index}")
    elif isinstance(value, dict):
        for key, item in value.items():
            if _CONTROL.search(key):
                yield pointer
            yield from _unprintable(item, f"{pointer}/{escaped(key)}")
