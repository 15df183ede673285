"""From the columns of a table to what a model takes: one input a column, or all of them as one matrix."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from re import fullmatch
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offload_shared.tasks.predict import Cell
from offload_worker.handle import JobRejected
from offload_worker.handlers.prediction.model import LoadedModel
from offload_worker.handlers.tables.numbers import is_missing, to_number
from offload_worker.handlers.tables.wording import listed, quoted, unknown_column

Array = NDArray[Any]

#: By what the runtime calls them.
TYPES: dict[str, Any] = {
    "float": np.float32,
    "double": np.float64,
    "float16": np.float16,
    "int64": np.int64,
    "int32": np.int32,
    "bool": np.bool_,
    "string": object,
}


@dataclass(frozen=True, slots=True)
class Input:
    """One input of a model, the columns that it is made of, and whether each row is a row of it or one number."""

    name: str
    dtype: Any
    columns: tuple[str, ...]
    flat: bool  # of shape (rows,) instead of (rows, columns)

    def array(self, columns: Mapping[str, Sequence[Cell]], *, decimal_comma: bool, first_row: int) -> Array:
        """Return the input for some rows; raises `JobRejected` where a cell is none of its kind."""
        parts = [
            _column(columns[name], self.dtype, Reading(name, decimal_comma, first_row, self.name))
            for name in self.columns
        ]
        return parts[0] if self.flat else np.stack(parts, axis=1)


@dataclass(frozen=True, slots=True)
class Reading:
    """Which column is read, how, and from which row on."""

    column: str
    decimal_comma: bool
    first_row: int
    input: str


def plan_inputs(model: LoadedModel, names: Sequence[str], keep: Sequence[str]) -> list[Input]:
    """Return what each input is made of, given the table's columns; raises `JobRejected` when it cannot be told."""
    inputs = model.session.get_inputs()
    if not inputs:
        raise JobRejected("The model takes no input: it says the same of every row.")
    # Named as no column is, a single input takes what there is.
    if len(inputs) == 1 and (_width(inputs[0]) != 1 or inputs[0].name not in names):
        return [_matrix(inputs[0], model, names, keep)]
    planned = [_single(each) for each in inputs]
    for each in planned:
        _require(each.columns, names, "The model takes the columns")
    return planned


def _single(given: Any) -> Input:
    if _width(given) != 1:
        raise JobRejected(f"{_shown(given)}; with several inputs each has to take one column: shape (rows, 1).")
    return Input(given.name, _dtype(given), (given.name,), flat=len(given.shape) == 1)


def _matrix(given: Any, model: LoadedModel, names: Sequence[str], keep: Sequence[str]) -> Input:
    dtype, width = _dtype(given), _width(given)
    columns = tuple(model.features or [name for name in names if name not in keep])
    if model.features:
        _require(columns, names, "The model takes the columns")
    if width and width != len(columns):
        takes = f"{width:,} column{'s' if width > 1 else ''}"
        raise JobRejected(
            f"The model takes {takes} and does not name them; the table has {len(columns):,} ({listed(columns)}). "
            "Leave the others out, or name those in `keep` that are not for the model."
        )
    return Input(given.name, dtype, columns, flat=len(given.shape) == 1)


def _width(given: Any) -> int:
    """Return how many columns an input takes, 0 for any number; raises `JobRejected` when it takes no rows."""
    shape = given.shape
    if not fullmatch(r"tensor\(.*\)", given.type) or len(shape) not in (1, 2):
        raise JobRejected(f"{_shown(given)}; it has to take rows of a table.")
    if isinstance(shape[0], int) and shape[0] != 1:
        raise JobRejected(f"{_shown(given)}: {shape[0]:,} rows at a time; save it with any number of rows.")
    if len(shape) == 1:
        return 1
    return shape[1] if isinstance(shape[1], int) else 0


def rows_at_once(model: LoadedModel, most: int) -> int:
    """Return how many rows the model takes at a time, at most so many."""
    return 1 if any(each.shape[0] == 1 for each in model.session.get_inputs()) else most


def _dtype(given: Any) -> Any:
    kind = given.type.removeprefix("tensor(").removesuffix(")")
    if kind not in TYPES:
        raise JobRejected(f"{_shown(given)}; numbers, truth values and text can be given to it.")
    return TYPES[kind]


def _shown(given: Any) -> str:
    shape = ", ".join(str(size or "any") for size in given.shape)
    return f"The model's input {quoted(given.name)} is a {given.type} of shape ({shape})"


def _require(wanted: Sequence[str], names: Sequence[str], what: str) -> None:
    missing = [name for name in wanted if name not in names]
    if len(missing) == 1:
        raise JobRejected(f"{what} {listed(wanted)}. {unknown_column(missing[0], names)}")
    if missing:
        raise JobRejected(f"{what} {listed(wanted)}; there are none named {listed(missing)}.")


def _column(cells: Sequence[Cell], dtype: Any, reading: Reading) -> Array:
    if dtype is object:
        return np.array([_text(cell) for cell in cells], object)
    numbers = np.array([_number(cell, decimal_comma=reading.decimal_comma) for cell in cells], np.float64)
    if not np.issubdtype(dtype, np.floating):
        _require_whole(numbers, cells, dtype, reading)
    with np.errstate(over="ignore"):
        return numbers.astype(dtype)


def _require_whole(numbers: NDArray[np.float64], cells: Sequence[Cell], dtype: Any, reading: Reading) -> None:
    most = 1 if dtype is np.bool_ else np.iinfo(dtype).max
    with np.errstate(invalid="ignore"):
        wrong = ~(np.abs(numbers) <= most) | (numbers != np.floor(numbers))
    if wrong.any():
        place = int(np.flatnonzero(wrong)[0])
        shown = "no value" if cells[place] is None else quoted(str(cells[place]))
        raise JobRejected(
            f"Row {reading.first_row + place:,} has {shown} in the column {quoted(reading.column)}, where the model "
            f"takes {'true or false' if dtype is np.bool_ else 'a whole number'}."
        )


def _text(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float):
        return repr(int(cell)) if cell.is_integer() and abs(cell) < 1e15 else repr(cell)
    text = str(cell).strip()
    return "" if is_missing(text) else text


def _number(cell: Cell, *, decimal_comma: bool) -> float:
    if cell is None:
        return np.nan
    if isinstance(cell, int | float):
        return float(cell)
    text = cell.strip()
    number = to_number(text, decimal_comma=False)
    if number is None and decimal_comma:
        number = to_number(text, decimal_comma=True)
    if number is None and text.lower() in ("true", "false"):
        return float(text.lower() == "true")
    return np.nan if number is None else number
