"""How the cells of a row are kept apart, found out from the first rows."""

import csv
from collections.abc import Iterable, Iterator
from itertools import islice
from re import compile as pattern
from typing import TYPE_CHECKING

from offload_worker.handlers.tables.source import Source

if TYPE_CHECKING:
    from _csv import Reader  # the type has no public name

SAMPLE_LINES = 100
SAMPLE_CHARACTERS = 256 * 1024

USUAL = (",", ";", "\t", "|")
RARE = (":", "^", "~", " ")  # taken only when every row agrees, since they occur within values

#: Excel's own way to name the delimiter, in a line before the header.
EXCEL_HINT = pattern(r'^"?sep=(.)"?\s*$')


def find_delimiter(source: Source) -> str | None:
    """Return the delimiter under which the first rows agree best with the header, or None when none splits it."""
    sample = list(_sample(source.lines()))
    if sample and (hint := EXCEL_HINT.match(sample[0])):
        return hint[1]
    scored = [(score, delimiter) for delimiter in USUAL if (score := _score(sample, delimiter))]
    scored = scored or [(score, rare) for rare in RARE if (score := _score(sample, rare)) and score[0] == 1.0]
    return max(scored, key=lambda entry: entry[0])[1] if scored else None


def rows(lines: Iterable[str], delimiter: str, *, strict: bool) -> "Reader":
    """Return a reader of the rows; a blank line is an empty row."""
    return csv.reader(lines, delimiter=delimiter, skipinitialspace=delimiter != " ", strict=strict)


def _sample(lines: Iterator[str]) -> Iterator[str]:
    characters = 0
    for line in islice(lines, SAMPLE_LINES):
        yield line
        characters += len(line)
        if characters > SAMPLE_CHARACTERS:
            return


def _score(sample: list[str], delimiter: str) -> tuple[float, int] | None:
    """Return the share of the rows as wide as the header and its width; None for a single column."""
    try:
        widths = [len(row) for row in rows(sample, delimiter, strict=False) if row]
    except csv.Error:
        return None
    if not widths or widths[0] < 2:
        return None
    return sum(width == widths[0] for width in widths) / len(widths), widths[0]
