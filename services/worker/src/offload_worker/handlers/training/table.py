"""The second reading: keeps the columns that are wanted, each as an array that is small whatever the file holds."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from offload_worker.handlers.tables.numbers import is_missing, to_number
from offload_worker.handlers.tables.records import Records
from offload_worker.handlers.training.survey import ColumnSurvey, Survey

#: A longer value is a text and no category.
MAX_WORD_CHARACTERS = 256
#: A column is read as categories up to so many distinct values, fewer when there are many columns.
MOST_WORDS, FEWEST_WORDS, WORDS_OF_ALL_COLUMNS = 20_000, 1000, 1_000_000


@dataclass(frozen=True, slots=True)
class NumberColumn:
    """A column of numbers; NaN where the value is missing."""

    name: str
    values: NDArray[np.floating]  # shape (rows,); a feature's have 32 bits, as the ONNX model's inputs do

    @property
    def missing(self) -> NDArray[np.bool_]:
        """Which rows have no value."""
        return np.asarray(np.isnan(self.values))

    def at(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> "NumberColumn":
        """Return the column at some of its rows."""
        return replace(self, values=self.values[rows])


@dataclass(frozen=True, slots=True)
class WordColumn:
    """A column of categories: for each row the place of its value in `words`, whose first, '', is a missing value."""

    name: str
    codes: NDArray[np.int32]  # shape (rows,)
    words: tuple[str, ...]

    @property
    def missing(self) -> NDArray[np.bool_]:
        """Which rows have no value."""
        return np.asarray(self.codes == 0)

    def at(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> "WordColumn":
        """Return the column at some of its rows."""
        return replace(self, codes=self.codes[rows])


@dataclass(frozen=True, slots=True)
class UnreadableColumn:
    """A column whose values were too many or too long to keep."""

    name: str
    reason: str


Column = NumberColumn | WordColumn
ReadColumn = Column | UnreadableColumn


class _Numbers:
    def __init__(self, name: str, survey: ColumnSurvey, dtype: type[np.floating]) -> None:
        self._name = name
        self._dtype = dtype
        self._clean = not (survey.missing or survey.others or survey.decimal_comma)
        self._decimal_comma = survey.decimal_comma
        self._parts: list[NDArray[np.floating]] = []

    def add(self, cells: Sequence[str]) -> None:
        read = map(float, cells) if self._clean else map(self._number, cells)
        self._parts.append(np.fromiter(read, self._dtype, len(cells)))

    def column(self) -> ReadColumn:
        return NumberColumn(self._name, np.concatenate(self._parts))

    def _number(self, cell: str) -> float:
        number = to_number(cell.strip(), decimal_comma=self._decimal_comma)
        return np.nan if number is None else number


class _Words:
    def __init__(self, name: str, limit: int) -> None:
        self._name = name
        self._limit = limit
        self._reason = ""
        self._codes = {"": 0}
        self._known: dict[str, int] = {}  # by the cell as it stands in the file
        self._parts: list[NDArray[np.int32]] = []

    def add(self, cells: Sequence[str]) -> None:
        if self._reason:
            return
        for cell in set(cells) - self._known.keys():
            self._known[cell] = self._code(cell.strip())
        self._parts.append(np.fromiter(map(self._known.__getitem__, cells), np.int32, len(cells)))
        longest = max(map(len, self._codes))
        if longest > MAX_WORD_CHARACTERS:
            self._give_up(f"it holds texts of up to {longest:,} characters, not categories")
        elif len(self._known) > self._limit:
            self._give_up(f"it has more than {self._limit:,} distinct texts, too many for categories")

    def column(self) -> ReadColumn:
        if self._reason:
            return UnreadableColumn(self._name, self._reason)
        return _sorted(WordColumn(self._name, np.concatenate(self._parts), tuple(self._codes)))

    def _code(self, word: str) -> int:
        return 0 if is_missing(word) else self._codes.setdefault(word, len(self._codes))

    def _give_up(self, reason: str) -> None:
        self._reason, self._codes, self._known, self._parts = reason, {}, {}, []


def read_columns(
    records: Records,
    survey: Survey,
    *,
    wanted: Collection[str],
    as_words: Collection[str],
    precise: str,
    progress: Callable[[int], None],
) -> dict[str, ReadColumn]:
    """Read the `wanted` columns in the order of the file, calling `progress` with the characters read.

    Those in `as_words` are read as categories whatever they hold, the one named `precise` with 64 bits.
    """
    limit = max(FEWEST_WORDS, min(MOST_WORDS, WORDS_OF_ALL_COLUMNS // len(records.names)))
    readers: dict[int, _Numbers | _Words] = {}
    for place, (name, column) in enumerate(survey.columns.items()):
        if name in wanted:
            numeric = column.is_numeric and name not in as_words
            dtype = np.float64 if name == precise else np.float32
            readers[place] = _Numbers(name, column, dtype) if numeric else _Words(name, limit)
    for batch in records.batches():
        columns = batch.columns()
        for place, reader in readers.items():
            reader.add(columns[place])
        progress(batch.characters)
    return {records.names[place]: reader.column() for place, reader in readers.items()}


def _sorted(column: WordColumn) -> WordColumn:
    # Sets have no order of their own: sorting makes the codes the same in every run.
    order = sorted(range(len(column.words)), key=column.words.__getitem__)
    places = np.empty(len(order), np.int32)
    places[order] = np.arange(len(order), dtype=np.int32)
    return WordColumn(column.name, places[column.codes], tuple(column.words[code] for code in order))
