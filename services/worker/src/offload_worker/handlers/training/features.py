"""Which columns are learnt from, and why the others are not."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from re import IGNORECASE
from re import compile as pattern

import numpy as np
from numpy.typing import NDArray

from offload_shared.tasks.train_model import DroppedColumn, TrainModel
from offload_worker.handle import JobRejected
from offload_worker.handlers.training.survey import Survey
from offload_worker.handlers.training.table import Column, NumberColumn, ReadColumn, UnreadableColumn, WordColumn
from offload_worker.handlers.training.wording import quoted, unknown_column

#: A column with more distinct words than this, on average in fewer rows than that, tells rows apart and nothing else.
MANY_WORDS, ROWS_PER_WORD = 20, 2

#: What columns are called that only number the rows.
COUNTER_NAME = pattern(r"(.*[ _.-])?(id|idx|index|no|nr|num|number|row|rownames|key|column 1|unnamed: 0)", IGNORECASE)


@dataclass(frozen=True, slots=True)
class Features:
    """The columns to learn from, at the rows that have a target, and those left out."""

    used: tuple[Column, ...]
    dropped: tuple[DroppedColumn, ...]


def check_wishes(payload: TrainModel, names: Sequence[str]) -> None:
    """Raise `JobRejected` when the payload names a column that the table does not have."""
    known = set(names)
    for name in (payload.target, *(payload.features or ()), *payload.ignore, *payload.categorical):
        if name not in known:
            raise JobRejected(unknown_column(name, names))


def unwanted(payload: TrainModel, names: Sequence[str]) -> dict[str, str]:
    """Return the columns that the client does not want learnt from, each with the reason."""
    reasons = {}
    for name in names:
        if name in payload.ignore:
            reasons[name] = "asked to be ignored"
        elif payload.features is not None and name not in payload.features and name != payload.target:
            reasons[name] = "not among the features asked for"
    return reasons


def choose_features(
    columns: Mapping[str, ReadColumn], rows: NDArray[np.intp], *, refused: Mapping[str, str], asked_for: bool
) -> Features:
    """Drop what nothing can be learnt from; raises `JobRejected` when no column is left.

    What merely looks like an identifier is kept when the client named its features, which is `asked_for`.
    """
    used, dropped = [], [DroppedColumn(name=name, reason=reason) for name, reason in refused.items()]
    for column in columns.values():
        if reason := _useless(column, rows, asked_for=asked_for):
            dropped.append(DroppedColumn(name=column.name, reason=reason))
        else:
            assert not isinstance(column, UnreadableColumn)  # noqa: S101 - that is useless
            used.append(column.at(rows))
    if not used:
        example = f": {quoted(dropped[-1].name)} was left out since {dropped[-1].reason}" if dropped else ""
        raise JobRejected(f"No column is left to learn from{example}.")
    return Features(tuple(used), tuple(dropped))


def strays(survey: Survey, used: Sequence[Column]) -> list[str]:
    """Return a sentence for each number column in which some values are no numbers."""
    found = []
    for column in used:
        counts = survey.columns[column.name]
        if isinstance(column, NumberColumn) and counts.others and (other := counts.best.first_other):
            found.append(
                f"{counts.others:,} values of {quoted(column.name)} are no numbers and count as missing, "
                f"the first at line {other.line}: {quoted(other.text)}."
            )
    return found


def _useless(column: ReadColumn, rows: NDArray[np.intp], *, asked_for: bool) -> str | None:
    if isinstance(column, UnreadableColumn):
        return column.reason
    column = column.at(rows)
    if np.all(column.missing):
        return "it has no value in any row"
    if isinstance(column, NumberColumn):
        return _useless_numbers(column, asked_for=asked_for)
    return _useless_words(column, asked_for=asked_for)


def _useless_numbers(column: NumberColumn, *, asked_for: bool) -> str | None:
    if np.nanmin(column.values) == np.nanmax(column.values):
        return "it has the same value in every row that has one"
    counts_up = bool(np.all(np.diff(column.values) == 1))
    if not asked_for and counts_up and (COUNTER_NAME.fullmatch(column.name) or column.values[0] in {0, 1}):
        return "it only counts the rows"
    return None


def _useless_words(column: WordColumn, *, asked_for: bool) -> str | None:
    counts = np.bincount(column.codes, minlength=1)
    distinct = np.count_nonzero(counts[1:])
    if np.count_nonzero(counts) == 1:
        return "it has the same value in every row"
    if not asked_for and distinct > MANY_WORDS and distinct > math.floor(counts[1:].sum() / ROWS_PER_WORD):
        example = quoted(column.words[int(column.codes[column.codes > 0][0])])
        return f"nearly every row has a text of its own, such as {example}"
    return None
