"""A first reading of the whole table, which keeps nothing but counts: what each column holds."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from offload_worker.handle import JobRejected
from offload_worker.handlers.tables.numbers import LARGEST, is_missing, to_number
from offload_worker.handlers.tables.records import Batch, Records

#: A column is numeric when at least this share of its values are numbers; the others count as missing, and are noted.
NUMERIC_SHARE = 0.9


@dataclass(frozen=True, slots=True)
class Cell:
    """A value and the line it is on."""

    text: str
    line: int


@dataclass(slots=True)
class Reading:
    """How many values are numbers when read with one decimal sign, and the first that is none."""

    numbers: int = 0
    first_other: Cell | None = None


@dataclass(slots=True)
class ColumnSurvey:
    """What a column holds."""

    present: int = 0
    missing: int = 0
    point: Reading = field(default_factory=Reading)
    comma: Reading = field(default_factory=Reading)

    @property
    def decimal_comma(self) -> bool:
        """Whether more of the values are numbers when a comma is the decimal sign."""
        return self.comma.numbers > self.point.numbers

    @property
    def best(self) -> Reading:
        """The reading with more numbers."""
        return self.comma if self.decimal_comma else self.point

    @property
    def others(self) -> int:
        """How many values are no numbers."""
        return self.present - self.best.numbers

    @property
    def is_numeric(self) -> bool:
        """Whether the column is one of numbers."""
        return self.present > 0 and self.best.numbers >= NUMERIC_SHARE * self.present


@dataclass(frozen=True, slots=True)
class Survey:
    """What the table holds."""

    rows: int
    columns: dict[str, ColumnSurvey]


def take_survey(records: Records, progress: Callable[[int], None]) -> Survey:
    """Read all rows once, calling `progress` with the characters read; raises `JobRejected`."""
    columns = {name: ColumnSurvey() for name in records.names}
    rows = 0
    for batch in records.batches():
        rows += len(batch.rows)
        for survey, cells in zip(columns.values(), batch.columns(), strict=True):
            _count(survey, cells, batch)
        progress(batch.characters)
    if not rows:
        raise JobRejected("The table has a header and no rows.")
    return Survey(rows, columns)


def _count(survey: ColumnSurvey, cells: tuple[str, ...], batch: Batch) -> None:
    if not _count_plain_numbers(survey, cells, batch):
        _count_values(survey, cells, batch)


def _count_plain_numbers(survey: ColumnSurvey, cells: tuple[str, ...], batch: Batch) -> bool:
    """Count cells that are all numbers with a decimal point, some ten times as fast; False when they are not."""
    joined = "".join(cells)
    if not joined.isascii() or "_" in joined:  # which Python takes for numbers
        return False
    try:
        numbers = np.fromiter(map(float, cells), np.float64, len(cells))
    except ValueError:
        return False
    if not np.all(np.abs(numbers) <= LARGEST):  # also not a number
        return False
    pointed = [place for place, cell in enumerate(cells) if "." in cell] if "." in joined else []
    survey.present += len(cells)
    survey.point.numbers += len(cells)
    survey.comma.numbers += len(cells) - len(pointed)
    if pointed and survey.comma.first_other is None:
        survey.comma.first_other = Cell(cells[pointed[0]].strip(), batch.lines[pointed[0]])
    return True


def _count_values(survey: ColumnSurvey, cells: tuple[str, ...], batch: Batch) -> None:
    for raw, count in Counter(cells).items():
        cell = raw.strip()
        if is_missing(cell):
            survey.missing += count
            continue
        survey.present += count
        for reading, decimal_comma in ((survey.point, False), (survey.comma, True)):
            if to_number(cell, decimal_comma=decimal_comma) is not None:
                reading.numbers += count
            elif reading.first_other is None:
                reading.first_other = Cell(cell, batch.lines[cells.index(raw)])
