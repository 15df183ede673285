"""Whether the ONNX model says what scikit-learn's says; nothing is handed out that was not compared."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from offload_shared.tasks.estimators import NearestNeighbours
from offload_worker.handlers.training.encoder import Matrix
from offload_worker.handlers.training.models import Model
from offload_worker.handlers.training.parts import Part
from offload_worker.handlers.training.progress import Report
from offload_worker.handlers.training.scores import Predictions
from offload_worker.handlers.training.table import Column, NumberColumn

MOST_ROWS = 20_000
BATCH_NUMBERS = 10_000_000  # in one table of the runtime, so that distances to all training rows fit

#: Of a probability, and of a number relative to the range of the training rows.
PROBABILITY_TOLERANCE = 1e-4
RANGE_TOLERANCE = 1e-5


class ModelMismatch(Exception):  # noqa: N818
    """The exported model predicts something else than the trained one: a defect of ours, not of the table."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How many rows were compared, and the largest difference between the two models."""

    rows: int
    largest_difference: float


def check_export(
    file: bytes, model: Model, test: Part, expected: Predictions, *, classes: Sequence[str], report: Report
) -> Agreement:
    """Run the ONNX `file` on the raw columns of the test rows; raises `ModelMismatch` if it is not as `expected`."""
    rows = np.arange(min(MOST_ROWS, len(test.matrix)))
    outputs = _run(file, [column.at(rows) for column in test.columns], _batch_rows(model, test.matrix), report)
    comparable = rows[_settled(model, test.matrix[rows])]
    if expected.probabilities is None:
        return _compare_numbers(outputs[0], expected, comparable, float(np.ptp(model.learnt[1])))
    return _compare_classes(outputs, expected, classes, comparable)


def feed(columns: Sequence[Column]) -> dict[str, NDArray[Any]]:
    """Return the inputs of an exported model for some rows: what any client of the model would pass."""
    return {column.name: _cells(column).reshape(-1, 1) for column in columns}


def open_session(file: bytes) -> onnxruntime.InferenceSession:
    """Load an ONNX model for use in this thread alone."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def _cells(column: Column) -> NDArray[Any]:
    if isinstance(column, NumberColumn):
        return column.values.astype(np.float32)
    return np.array(column.words, object)[column.codes]


def _run(file: bytes, columns: Sequence[Column], batch: int, report: Report) -> list[NDArray[Any]]:
    session, rows, parts = open_session(file), len(columns[0].missing), []
    for start in range(0, rows, batch):
        places = np.arange(start, min(start + batch, rows))
        parts.append(session.run(None, feed([column.at(places) for column in columns])))
        report((start + len(places)) / rows, f"{start + len(places):,} of {rows:,} rows")
    return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]


def _batch_rows(model: Model, matrix: Matrix) -> int:
    distances = len(model.learnt[0]) if isinstance(model.problem.estimator, NearestNeighbours) else 0
    return max(1, BATCH_NUMBERS // max(distances, int(matrix.shape[1])))


def _settled(model: Model, matrix: Matrix) -> NDArray[np.bool_]:
    """Tell for which rows there is one right answer: not where the last nearest neighbour ties with the next one."""
    wanted = model.fitted.n_neighbors if isinstance(model.problem.estimator, NearestNeighbours) else 0
    if not wanted or wanted == len(model.learnt[0]):
        return np.ones(len(matrix), np.bool_)
    distances, _ = model.fitted.kneighbors(matrix, wanted + 1)
    return np.asarray(distances[:, -1] - distances[:, -2] > 1e-5 * (1 + distances[:, -1]))


def _compare_classes(
    outputs: Sequence[NDArray[Any]], expected: Predictions, classes: Sequence[str], rows: NDArray[np.intp]
) -> Agreement:
    assert expected.probabilities is not None  # noqa: S101 - the caller has looked
    probabilities = expected.probabilities[rows]
    difference = _largest(np.abs(outputs[1][rows] - probabilities))
    top = np.sort(probabilities, axis=1)
    clear = top[:, -1] - top[:, -2] > 2 * PROBABILITY_TOLERANCE  # a tie may be broken either way
    labels = np.array(classes, object)[expected.predicted[rows].astype(np.intp)]
    wrong = int(np.count_nonzero((outputs[0][rows] != labels) & clear))
    if wrong or not difference <= PROBABILITY_TOLERANCE:
        raise ModelMismatch(f"the ONNX model is off by {difference:.3g} in a probability, and in {wrong} labels")
    return Agreement(len(rows), difference)


def _compare_numbers(
    output: NDArray[Any], expected: Predictions, rows: NDArray[np.intp], target_range: float
) -> Agreement:
    difference = _largest(np.abs(output[rows] - expected.predicted[rows]))
    if not difference <= RANGE_TOLERANCE * target_range:
        raise ModelMismatch(f"the ONNX model is off by {difference:.3g} where the target's range is {target_range:.3g}")
    return Agreement(len(rows), difference)


def _largest(differences: NDArray[np.floating]) -> float:
    return float(differences.max()) if differences.size else 0.0
