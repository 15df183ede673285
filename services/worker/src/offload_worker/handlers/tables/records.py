"""The rows of the table, in batches, each of them as wide as the header or refused with its line."""

import csv
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass

from offload_worker.handle import JobRejected
from offload_worker.handlers.tables.dialect import EXCEL_HINT, rows
from offload_worker.handlers.tables.source import Source
from offload_worker.handlers.tables.wording import quoted

MAX_COLUMNS = 2000
MAX_ROWS = 1_000_000
MAX_CELLS = 20_000_000
MAX_NAME_BYTES = 256  # in UTF-8; the result repeats the names and is itself limited

BATCH_ROWS = 5000
BATCH_CHARACTERS = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows, the line each begins on, and how many characters have been read so far."""

    lines: list[int]
    rows: list[list[str]]
    characters: int

    def columns(self) -> list[tuple[str, ...]]:
        """Return the cells by column."""
        return list(zip(*self.rows, strict=True))


class Records:
    """A source read with a delimiter; reading it again starts again. `most_rows` is None for any number of them."""

    def __init__(
        self, source: Source, delimiter: str, *, fewest_columns: int = 2, most_rows: int | None = MAX_ROWS
    ) -> None:
        self.source = source
        self.delimiter = delimiter
        self._most_rows = most_rows
        self.names = _names(next(self._numbered(), (0, []))[1], delimiter, fewest_columns)

    def batches(self) -> Iterator[Batch]:
        """Yield the rows after the header; raises `JobRejected` at a ragged one, and past the limits."""
        width = len(self.names)
        limit = None if self._most_rows is None else min(self._most_rows, MAX_CELLS // width)
        batch, characters, size = Batch([], [], 0), 0, 0
        with closing(self._numbered()) as records:  # at once, also where an exception keeps this frame
            next(records)
            for count, (line, row) in enumerate(records):
                if limit is not None and count == limit:
                    raise JobRejected(f"The table has more than {limit:,} rows of {width:,} columns, the most taken.")
                batch.lines.append(line)
                batch.rows.append(row if len(row) == width else _mended(row, width, line))
                size += sum(map(len, row)) + width
                if len(batch.rows) == BATCH_ROWS or size > BATCH_CHARACTERS:
                    characters += size
                    yield Batch(batch.lines, batch.rows, characters)
                    batch, size = Batch([], [], 0), 0
        if batch.rows:
            yield Batch(batch.lines, batch.rows, characters + size)

    def _numbered(self) -> Generator[tuple[int, list[str]], None, None]:
        """Yield every row that is not blank, the header first, and the line it begins on."""
        end, first = 0, True
        with closing(self.source.lines()) as lines:
            reader = rows(lines, self.delimiter, strict=True)
            try:
                for row in reader:
                    begin, end = end + 1, reader.line_num
                    if row and not (first and begin == 1 and EXCEL_HINT.match(self.delimiter.join(row))):
                        first = False
                        yield begin, row
            except csv.Error as error:
                raise JobRejected(_quoting(error, end + 1)) from None


def _names(header: list[str], delimiter: str, fewest: int) -> list[str]:
    if len(header) > MAX_COLUMNS:
        raise JobRejected(f"The table has {len(header):,} columns; at most {MAX_COLUMNS:,} are taken.")
    if not header:
        raise JobRejected("The file is empty.")
    if len(header) < fewest:
        raise JobRejected(
            f"Only one column was found with the delimiter {quoted(delimiter)}; a target and a feature are needed."
        )
    names = [name.strip() or f"column {place}" for place, name in enumerate(header, start=1)]
    places: dict[str, int] = {}
    for place, name in enumerate(names, start=1):
        if len(name.encode()) > MAX_NAME_BYTES:
            raise JobRejected(f"The name of column {place} is longer than {MAX_NAME_BYTES} bytes: {quoted(name)}.")
        if places.setdefault(name, place) != place:
            raise JobRejected(f"Columns {places[name]} and {place} are both named {quoted(name)}; rename one of them.")
    return names


def _mended(row: list[str], width: int, line: int) -> list[str]:
    # A delimiter at the end of each line, as some programs write it, is no cell.
    if len(row) > width and not any(cell.strip() for cell in row[width:]):
        return row[:width]
    raise JobRejected(f"Line {line} has {len(row):,} cells where the header has {width:,}.")


def _quoting(error: csv.Error, line: int) -> str:
    if "expected after" in str(error):
        return f"In the row at line {line} text follows a closing quote; quotes within a quoted value must be doubled."
    limit = csv.field_size_limit()
    return f"In the row at line {line} a quoted value does not end, or is longer than {limit:,} characters."
