"""Turns columns into the matrix that the estimators learn from; every number it uses comes from training rows.

All of it is 32-bit arithmetic, step for step what the exported ONNX graph does, so that both see the very same matrix.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from offload_worker.handle import JobRejected
from offload_worker.handlers.training.table import Column, NumberColumn, WordColumn

Matrix = NDArray[np.float32]

MAX_MATRIX_NUMBERS = 30_000_000

#: A word has a column of its own when it is among the most frequent and not rarer than both of these say.
MOST_WORDS_KEPT = 30
MIN_WORD_ROWS, MIN_WORD_SHARE = 2, 0.002


@dataclass(frozen=True, slots=True)
class WordEncoding:
    """A categorical column: one column a frequent word, and one for all others if training had any."""

    name: str
    words: tuple[str, ...]  # "" when missing values are frequent
    others: bool

    @property
    def width(self) -> int:
        """How many columns of the matrix it takes."""
        return len(self.words) + self.others

    def places(self, words: Sequence[str]) -> NDArray[np.int64]:
        """Return the column of each of `words`; `width` for those that have none."""
        known = {word: place for place, word in enumerate(self.words)}
        return np.array([known.get(word, len(self.words)) for word in words], np.int64)


@dataclass(frozen=True, slots=True)
class Encoder:
    """First all columns of numbers, missing ones filled with the median, then all words."""

    numbers: tuple[str, ...]
    medians: Matrix  # shape (len(numbers),), as are the next two
    means: Matrix | None  # None when numbers stay as they are
    scales: Matrix | None
    words: tuple[WordEncoding, ...]

    @property
    def width(self) -> int:
        """How many columns the matrix has."""
        return len(self.numbers) + sum(encoding.width for encoding in self.words)

    def owners(self) -> list[str]:
        """Return, for each column of the matrix, the name of the table's column it was made from."""
        return [*self.numbers, *(encoding.name for encoding in self.words for _ in range(encoding.width))]

    def encode(self, columns: Sequence[Column]) -> Matrix:
        """Return the matrix of `columns`, shape (rows, width)."""
        matrix = np.zeros((_rows(columns), self.width), np.float32)
        for place, column in enumerate(_numbers(columns)):
            matrix[:, place] = np.where(column.missing, self.medians[place], column.values)
        if self.means is not None and self.scales is not None:
            numbers = matrix[:, : len(self.numbers)]
            np.subtract(numbers, self.means, out=numbers)
            np.divide(numbers, self.scales, out=numbers)
        start = len(self.numbers)
        for encoding, words in zip(self.words, _words(columns), strict=True):
            places = encoding.places(words.words)[words.codes]
            rows = np.flatnonzero(places < encoding.width)
            matrix[rows, start + places[rows]] = 1.0
            start += encoding.width
        return matrix


def fit_encoder(columns: Sequence[Column], *, standardized: bool) -> Encoder:
    """Return the encoder that training rows give; `standardized` numbers have mean 0 and standard deviation 1."""
    numbers = _numbers(columns)
    medians = np.array([_median(column) for column in numbers], np.float32)
    means = scales = None
    if standardized:
        pairs = zip(numbers, medians, strict=True)
        filled = [np.where(column.missing, median, column.values) for column, median in pairs]
        means = np.array([values.mean(dtype=np.float64) for values in filled], np.float32)
        scales = np.array([_scale(values) for values in filled], np.float32)
    encodings = tuple(_word_encoding(column) for column in _words(columns))
    return Encoder(tuple(column.name for column in numbers), medians, means, scales, encodings)


def check_size(encoder: Encoder, rows: int, classes: int) -> None:
    """Raise `JobRejected` when the matrix of `rows` rows and its predictions would not fit a worker's memory."""
    needed = rows * (encoder.width + classes)
    if needed > MAX_MATRIX_NUMBERS:
        raise JobRejected(
            f"Encoded, the table takes {needed:,} numbers ({rows:,} rows, {encoder.width:,} columns) of at most "
            f"{MAX_MATRIX_NUMBERS:,}; leave out rows or columns, first of all categorical ones."
        )


def _numbers(columns: Sequence[Column]) -> list[NumberColumn]:
    return [column for column in columns if isinstance(column, NumberColumn)]


def _words(columns: Sequence[Column]) -> list[WordColumn]:
    return [column for column in columns if isinstance(column, WordColumn)]


def _rows(columns: Sequence[Column]) -> int:
    return len(columns[0].missing)


def _median(column: NumberColumn) -> float:
    present = column.values[~column.missing]
    return float(np.median(present)) if len(present) else 0.0  # a fold may have none of the few values there are


def _scale(values: NDArray[np.floating]) -> float:
    deviation = float(values.std(dtype=np.float64))
    # A deviation of rounding errors alone would blow them up; 1 leaves a constant column at zero.
    return deviation if deviation > 1e-7 * float(np.abs(values).max()) else 1.0


def _word_encoding(column: WordColumn) -> WordEncoding:
    counts = np.bincount(column.codes, minlength=len(column.words))
    fewest = max(MIN_WORD_ROWS, MIN_WORD_SHARE * len(column.codes))
    by_count = np.argsort(-counts, kind="stable")[:MOST_WORDS_KEPT]
    kept = sorted(int(code) for code in by_count if counts[code] >= fewest)
    others = int(counts.sum()) > int(counts[kept].sum())
    return WordEncoding(column.name, tuple(column.words[code] for code in kept), others)
