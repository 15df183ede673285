"""What is to be predicted: the target column as classes or as numbers, or why it can be neither."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from offload_shared.tasks.train_model import Kind
from offload_worker.handle import JobRejected
from offload_worker.handlers.tables.wording import listed, quoted
from offload_worker.handlers.training.survey import ColumnSurvey
from offload_worker.handlers.training.table import Column, NumberColumn, ReadColumn, UnreadableColumn, WordColumn

MAX_CLASSES = 100
MIN_ROWS = 10

#: Whole numbers are taken for classes when they are so few, and each has so many rows on average.
FEW_NUMBERS, ROWS_PER_NUMBER = 20, 5

#: Differences below it leave the range of the 32-bit numbers that a model's trees add up.
SMALLEST_RANGE = 1e-30


@dataclass(frozen=True, slots=True)
class Target:
    """The rows that have a target, and what it is there."""

    name: str
    kind: Kind
    rows: NDArray[np.intp]  # places in the table
    values: NDArray[np.int64] | NDArray[np.float64]  # places in `classes`, or the numbers; shape (len(rows),)
    classes: tuple[str, ...]  # empty for regression


def read_target(column: ReadColumn, survey: ColumnSurvey, kind: Kind | None) -> Target:
    """Find out what `column` is a target for; raises `JobRejected` when it is none, or not for the `kind` asked for."""
    name = quoted(column.name)
    if isinstance(column, UnreadableColumn):
        raise JobRejected(f"The target column {name} holds no classes: {column.reason}; {_not_a_number(survey)}.")
    rows = np.flatnonzero(~column.missing)
    if len(rows) == 0:
        raise JobRejected(f"The target column {name} has no value in any row.")
    if len(rows) < MIN_ROWS:
        found = f"a value in {len(rows)} of {len(column.missing)} rows"
        raise JobRejected(f"The target column {name} has {found}; at least {MIN_ROWS} are needed.")
    if kind == Kind.REGRESSION and isinstance(column, WordColumn):
        raise JobRejected(f"The target column {name} cannot be learnt by regression: {_not_a_number(survey)}.")
    present = column.at(rows)
    if isinstance(present, NumberColumn) and (kind or _guess(present)) == Kind.REGRESSION:
        return _numbers(present, rows)
    return _classes(present, survey, rows)


def _guess(column: NumberColumn) -> Kind:
    distinct = np.unique(column.values)
    few = len(distinct) <= FEW_NUMBERS and (len(distinct) == 2 or len(distinct) * ROWS_PER_NUMBER <= len(column.values))
    return Kind.CLASSIFICATION if few and np.all(distinct == np.round(distinct)) else Kind.REGRESSION


def _numbers(column: NumberColumn, rows: NDArray[np.intp]) -> Target:
    values = column.values.astype(np.float64)
    if values.min() == values.max():
        raise JobRejected(f"The target column {quoted(column.name)} holds the same number in every row: {values[0]:g}.")
    if np.ptp(values) < SMALLEST_RANGE:
        raise JobRejected(f"The numbers in {quoted(column.name)} differ by {np.ptp(values):.1g}; give a smaller unit.")
    return Target(column.name, Kind.REGRESSION, rows, values, ())


def _classes(column: Column, survey: ColumnSurvey, rows: NDArray[np.intp]) -> Target:
    name = quoted(column.name)
    found, values, counts = np.unique(
        column.values if isinstance(column, NumberColumn) else column.codes, return_inverse=True, return_counts=True
    )
    if len(found) > MAX_CLASSES:
        why = _instead_of_classes(column, survey)
        raise JobRejected(f"The target column {name} has {len(found):,} distinct values, too many for classes{why}.")
    classes = tuple(map(_label, found) if isinstance(column, NumberColumn) else (column.words[code] for code in found))
    if len(classes) == 1:
        raise JobRejected(f"The target column {name} has a single class, {quoted(classes[0])}; two are needed.")
    if lone := [label for label, count in zip(classes, counts, strict=True) if count == 1]:
        raise JobRejected(
            f"In the target column {name} a class needs two rows, and there is only one of {listed(lone)}; "
            "remove it, or merge it with another class."
        )
    return Target(column.name, Kind.CLASSIFICATION, rows, values.astype(np.int64), classes)


def _label(number: np.floating) -> str:
    return str(int(number)) if number == round(number) else repr(float(number))


def _instead_of_classes(column: Column, survey: ColumnSurvey) -> str:
    if isinstance(column, NumberColumn):
        return f" (at most {MAX_CLASSES}); ask for regression"
    return f" (at most {MAX_CLASSES}), and it cannot be learnt by regression: {_not_a_number(survey)}"


def _not_a_number(survey: ColumnSurvey) -> str:
    other = survey.best.first_other
    return f"line {other.line} holds {quoted(other.text)}, which is no usable number" if other else "it has no numbers"
