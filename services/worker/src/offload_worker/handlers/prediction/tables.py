"""The rows to predict for, a batch at a time, however many there are and however they came."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as arrow
from pyarrow import parquet

from offload_shared.tasks.predict import Cell, Predict
from offload_worker.handle import JobRejected
from offload_worker.handlers.tables.dialect import find_delimiter
from offload_worker.handlers.tables.records import MAX_COLUMNS, Records
from offload_worker.handlers.tables.source import open_source
from offload_worker.handlers.tables.wording import quoted

BATCH_ROWS = 5000
PARQUET_MAGIC = b"PAR1"


@dataclass(frozen=True, slots=True)
class Columns:
    """Some rows by column, and the share of the whole that has been read with them."""

    cells: Mapping[str, Sequence[Cell]]
    rows: int
    share: float


class Table(Protocol):
    """What has named columns and gives its rows in batches."""

    names: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def decimal_comma(self) -> bool:
        """Whether a comma may be a decimal sign."""

    def batches(self, wanted: Sequence[str]) -> Iterator[Columns]:
        """Yield the wanted columns of some rows at a time; raises `JobRejected` where they cannot be read."""


def open_table(payload: Predict, fetch: Callable[[Any], Path]) -> Table:
    """Return the rows of a payload; raises `JobRejected` when they are no table."""
    if payload.rows is not None:
        return InlineTable(payload.rows)
    path = fetch(payload.data)
    with path.open("rb") as file:
        magic = file.read(len(PARQUET_MAGIC))
    return ParquetTable(path) if magic == PARQUET_MAGIC else CsvTable(path, payload)


class InlineTable:
    """Rows of the payload; one that lacks a column has no value there."""

    decimal_comma = False
    notes: tuple[str, ...] = ()

    def __init__(self, rows: Sequence[dict[str, Cell]]) -> None:
        self._rows = rows
        self.names = tuple(dict.fromkeys(name for row in rows for name in row))

    def batches(self, wanted: Sequence[str]) -> Iterator[Columns]:
        """Yield all of them."""
        cells = {name: [row.get(name) for row in self._rows] for name in wanted}
        yield Columns(cells, len(self._rows), 1.0)


class CsvTable:
    """A CSV file, read as train-model reads it, but with no limit on its rows."""

    def __init__(self, path: Path, payload: Predict) -> None:
        source = open_source(path, payload.encoding)
        delimiter = payload.delimiter or find_delimiter(source) or ","
        self._records = Records(source, delimiter, fewest_columns=1, most_rows=None)
        self._size = path.stat().st_size
        self.names = tuple(self._records.names)
        self.decimal_comma = delimiter != ","
        guessed = f"The file is not UTF-8 and was read as {source.encoding}: name its `encoding` if words look wrong."
        self.notes: tuple[str, ...] = (guessed,) if source.guessed else ()

    def batches(self, wanted: Sequence[str]) -> Iterator[Columns]:
        """Yield the rows."""
        places = {name: self.names.index(name) for name in wanted}
        for batch in self._records.batches():
            cells = {name: [row[place] for row in batch.rows] for name, place in places.items()}
            yield Columns(cells, len(batch.rows), batch.characters / self._size)


class ParquetTable:
    """A Parquet file, of which a part of one row group is in memory at a time."""

    decimal_comma = False
    notes: tuple[str, ...] = ()

    def __init__(self, path: Path) -> None:
        try:
            self._file = parquet.ParquetFile(path)
            self.names = tuple(self._file.schema_arrow.names)
            self._total = max(1, self._file.metadata.num_rows)
        except (arrow.ArrowException, OSError, ValueError) as error:
            raise _broken(error) from None
        if len(self.names) > MAX_COLUMNS:
            raise JobRejected(f"The table has {len(self.names):,} columns; at most {MAX_COLUMNS:,} are taken.")
        if len(set(self.names)) < len(self.names):
            raise JobRejected("Two columns of the Parquet file have the same name; rename one of them.")

    def batches(self, wanted: Sequence[str]) -> Iterator[Columns]:
        """Yield the rows."""
        for name in wanted:
            if arrow.types.is_nested(kind := self._file.schema_arrow.field(name).type):
                raise JobRejected(f"The column {quoted(name)} holds a {kind} in each row, and no single value.")
        done = 0
        try:
            for batch in self._file.iter_batches(BATCH_ROWS, columns=list(wanted)):
                done += batch.num_rows
                cells = {name: [_cell(each) for each in batch.column(name).to_pylist()] for name in wanted}
                yield Columns(cells, batch.num_rows, done / self._total)
        except (arrow.ArrowException, OSError, ValueError) as error:
            raise _broken(error) from None


def _cell(value: Any) -> Cell:
    if value is None or isinstance(value, bool | float | str):
        return value
    if isinstance(value, int):
        return float(value) if abs(value) <= 2**53 else str(value)  # larger ones are not all told apart
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return str(value)


def _broken(error: Exception) -> JobRejected:
    return JobRejected(f"The Parquet file cannot be read: {quoted(' '.join(str(error).split()), most=300)}")
