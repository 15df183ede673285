"""Which columns are learnt from, and why the others are not."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from re import compile as pattern

import numpy as np
from numpy.typing import NDArray

from offload_shared.tasks.train_model import DroppedColumn, TrainModel
from offload_worker.handle import JobRejected
from offload_worker.handlers.tables.wording import quoted, unknown_column
from offload_worker.handlers.training.survey import Survey
from offload_worker.handlers.training.table import Column, NumberColumn, ReadColumn, UnreadableColumn, WordColumn

#: A column with more distinct words than this, on average in fewer rows than that, tells rows apart and nothing else.
MANY_WORDS, ROWS_PER_WORD = 20, 2

#: What columns are called whose numbers tell rows apart and nothing else: "id", "order_no", "PassengerId" ...
IDENTIFIER_NAME = pattern(r"(?i:(.*[ _.-])?(id|idx|index|no|nr|row|key)|rownames|unnamed: 0|column 1)|.*[a-z]I[dD]")
#: So many of the columns that were left out are named when none is left.
MOST_EXAMPLES = 3
EXACT_TO = 2**24  # larger whole numbers are not all told apart by 32 bits


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
        why = [f"{quoted(each.name)} was left out since {each.reason}" for each in dropped[:MOST_EXAMPLES]]
        if len(dropped) > MOST_EXAMPLES:
            why.append(f"and {len(dropped) - MOST_EXAMPLES:,} more")
        raise JobRejected(f"No column is left to learn from{': ' if why else ''}{'; '.join(why)}.")
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
    there = column.at(rows)
    if np.all(there.missing):
        return "it has no value in any row"
    if isinstance(there, WordColumn):
        return _useless_words(there, asked_for=asked_for)
    if np.nanmin(there.values) == np.nanmax(there.values):
        return "it has the same value in every row that has one"
    assert isinstance(column, NumberColumn)  # noqa: S101 - as the same column at fewer rows is
    return None if asked_for else _identifier(column)


def _identifier(column: NumberColumn) -> str | None:
    values = column.values
    if values[0] in {0, 1} and np.all(np.diff(values) == 1):
        return "it only counts the rows"
    whole = bool(np.all(values == np.round(values)))
    distinct = len(np.unique(values)) == len(values) or float(np.max(np.abs(values))) > EXACT_TO
    if whole and distinct and IDENTIFIER_NAME.fullmatch(column.name):
        return "it is named like an identifier, and every row has a number of its own"
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
