"""Where the predictions go: into the result, or into a file that grows a batch at a time."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import pyarrow as arrow
from pyarrow import parquet

from offload_shared.tasks.predict import MOST_ROWS_INLINE, Cell, Prediction
from offload_worker.handle import JobRejected
from offload_worker.handlers.prediction.outputs import Said
from offload_worker.handlers.prediction.tables import Columns

DIGITS = 7  # as many as a 32-bit number has


class Answer(Protocol):
    """Takes what was said of each batch of rows."""

    def add(self, rows: Columns, said: Said) -> None:
        """Add some rows; raises `JobRejected` when they are too many to answer so."""

    def close(self) -> None:
        """Write what is left to be written."""


class InlineAnswer:
    """Predictions for the result itself."""

    def __init__(self, keep: Sequence[str]) -> None:
        self._keep = keep
        self.predictions: list[Prediction] = []

    def add(self, rows: Columns, said: Said) -> None:
        """Add some rows; raises `JobRejected` past the limit."""
        if len(self.predictions) + rows.rows > MOST_ROWS_INLINE:
            raise JobRejected(
                f"The data has more than {MOST_ROWS_INLINE:,} rows, the most answered inline; ask for `output` csv."
            )
        for place, prediction in enumerate(said.predictions):
            shares = said.probabilities
            self.predictions.append(
                Prediction(
                    prediction=prediction,
                    probabilities=None if shares is None else tuple(_rounded(each) for each in shares[place].tolist()),
                    kept={name: rows.cells[name][place] for name in self._keep} if self._keep else None,
                )
            )

    def close(self) -> None:
        """Nothing is left."""


class CsvAnswer:
    """A CSV file."""

    def __init__(self, path: Path, keep: Sequence[str]) -> None:
        self._keep = keep
        self._file = path.open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file, lineterminator="\n")
        self.columns: tuple[str, ...] = ()

    def add(self, rows: Columns, said: Said) -> None:
        """Write some rows."""
        if not self.columns:
            self.columns = column_names(self._keep, said)
            self._writer.writerow(self.columns)
        kept = [rows.cells[name] for name in self._keep]
        shares = [] if said.probabilities is None else [map(_rounded, each) for each in said.probabilities.T.tolist()]
        self._writer.writerows(zip(*kept, said.predictions, *shares, strict=True))

    def close(self) -> None:
        """Write what is left."""
        self._file.close()


class ParquetAnswer:
    """A Parquet file, each batch of rows a row group."""

    def __init__(self, path: Path, keep: Sequence[str]) -> None:
        self._path = path
        self._keep = keep
        self._writer: parquet.ParquetWriter | None = None
        self.columns: tuple[str, ...] = ()

    def add(self, rows: Columns, said: Said) -> None:
        """Write some rows."""
        kept = [arrow.array([_text(cell) for cell in rows.cells[name]], arrow.string()) for name in self._keep]
        numbers = not any(isinstance(each, str) for each in said.predictions)
        predictions = arrow.array(said.predictions, arrow.float64() if numbers else arrow.string())
        shares = [] if said.probabilities is None else [arrow.array(each) for each in said.probabilities.T]
        self.columns = self.columns or column_names(self._keep, said)
        table = arrow.table([*kept, predictions, *shares], names=list(self.columns))
        if self._writer is None:
            self._writer = parquet.ParquetWriter(self._path, table.schema)
        self._writer.write_table(table)

    def close(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            self._writer.close()


def column_names(keep: Sequence[str], said: Said) -> tuple[str, ...]:
    """Return the columns of a file of predictions; one that a kept column is named like has an underscore appended."""
    names = list(keep)
    shares = [f"probability {each}" for each in said.classes or ()] if said.probabilities is not None else []
    for name in ("prediction", *shares):
        free = name
        while free in names:
            free += "_"
        names.append(free)
    return tuple(names)


def _rounded(value: float) -> float | None:
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None


def _text(cell: Cell) -> str | None:
    return cell if cell is None or isinstance(cell, str) else format(cell, "")
