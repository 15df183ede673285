"""What a model said of some rows, in one form whatever its outputs look like."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offload_worker.handle import JobRejected
from offload_worker.handlers.prediction.model import LoadedModel

MOST_CLASSES = 1000


@dataclass(frozen=True, slots=True)
class Said:
    """A prediction for each row, and the probability of each of the classes where there are any."""

    predictions: list[float | str | None]
    classes: tuple[str, ...] | None = None
    probabilities: NDArray[np.float64] | None = None  # shape (rows, classes)


def understand(model: LoadedModel, outputs: Sequence[Any], rows: int) -> Said:
    """Return what the outputs say of so many rows; raises `JobRejected` when they say no one thing of each.

    The first output is a label or a number for each row, the second one the probabilities, as a matrix or, as some
    exporters write it, a mapping for each row. A first output that is a matrix holds the score of each class.
    """
    first = outputs[0]
    if not isinstance(first, np.ndarray) or not first.ndim or len(first) != rows:
        raise JobRejected("The model's first output does not hold one prediction for each row.")
    if first.ndim == 2 and first.shape[1] > 1 and np.issubdtype(first.dtype, np.floating):
        return _scored(model, first)
    if first.size != rows:
        raise JobRejected("The model's first output holds more than one prediction for each row.")
    flat = first.reshape(rows)
    numeric = np.issubdtype(flat.dtype, np.floating)
    read = partial(_number, digits=np.finfo(flat.dtype).precision + 1) if numeric else _label
    predictions: list[float | str | None] = [read(value) for value in flat.tolist()]
    second = outputs[1] if len(outputs) > 1 else None
    if isinstance(second, list) and len(second) == rows and all(isinstance(each, Mapping) for each in second):
        return _mapped(predictions, second)
    if isinstance(second, np.ndarray) and second.ndim == 2 and len(second) == rows and not numeric:
        classes = _class_names(model, second.shape[1])
        return Said(predictions, classes, second.astype(np.float64))
    return Said(predictions, None if numeric else model.classes)


def _scored(model: LoadedModel, scores: NDArray[Any]) -> Said:
    classes = _class_names(model, scores.shape[1])
    return Said([classes[place] for place in scores.argmax(axis=1)], classes, scores.astype(np.float64))


def _mapped(predictions: list[float | str | None], second: Sequence[Mapping[Any, float]]) -> Said:
    keys = list(second[0])
    _require_few(len(keys))
    if any(each.keys() != second[0].keys() for each in second):
        raise JobRejected("The model's second output does not name the same classes for each row.")
    table = [[float(each[key]) for key in keys] for each in second]
    return Said(predictions, tuple(_label(key) for key in keys), np.array(table, np.float64))


def _class_names(model: LoadedModel, count: int) -> tuple[str, ...]:
    _require_few(count)
    if model.classes and len(model.classes) == count:
        return model.classes
    return tuple(str(place) for place in range(count))


def _require_few(classes: int) -> None:
    if classes > MOST_CLASSES:
        raise JobRejected(f"The model tells {classes:,} classes apart; at most {MOST_CLASSES:,} can be answered.")


def _label(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _number(value: float, *, digits: int) -> float | None:
    return float(f"{value:.{digits}g}") if math.isfinite(value) else None
