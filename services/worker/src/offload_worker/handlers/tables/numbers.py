"""Which cells are numbers, and which stand for a value that is missing."""

from re import ASCII
from re import compile as pattern

#: In lower case. "none" is left out: it is a value in many tables, say a degree of damage.
MISSING = frozenset({"", "na", "n/a", "#n/a", "<na>", "nan", "null", "?", "-"})

#: Beyond it, squares and sums leave the range of the 32-bit numbers that the model computes with.
LARGEST = 1e30

POINT = pattern(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", ASCII)
COMMA = pattern(r"[+-]?(\d+,?\d*|,\d+)([eE][+-]?\d+)?", ASCII)


def is_missing(cell: str) -> bool:
    """Tell whether a stripped cell stands for no value."""
    return len(cell) <= 4 and cell.lower() in MISSING


def to_number(cell: str, *, decimal_comma: bool) -> float | None:
    """Return the number a stripped cell holds, or None when it holds none that can be computed with."""
    if not (COMMA if decimal_comma else POINT).fullmatch(cell):
        return None
    number = float(cell.replace(",", ".") if decimal_comma else cell)
    return number if abs(number) <= LARGEST else None
