"""How much a model relies on each column of the table, whatever became of it in the matrix."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, r2_score

from offload_shared.tasks.estimators import Linear, NearestNeighbours
from offload_shared.tasks.train_model import Importance, Importances
from offload_worker.handlers.training.encoder import Matrix
from offload_worker.handlers.training.models import Model
from offload_worker.handlers.training.parts import Parts
from offload_worker.handlers.training.progress import Report
from offload_worker.handlers.training.scores import finite

MOST_COLUMNS = 200

#: Shuffling is done so often, on at most so many rows, and on fewer when there are very many distances to compute.
SHUFFLES = 5
MOST_ROWS, FEWEST_ROWS = 500, 20
MOST_DIFFERENCES = 20_000_000_000

_Method = Literal["impurity", "coefficients", "permutation"]
_Weights = NDArray[np.float64]


def weigh_columns(model: Model, parts: Parts, report: Report) -> Importances:
    """Return the importance of the table's columns: by the model's own measure, where it has one."""
    owners = parts.encoder.owners()
    places = {name: place for place, name in enumerate(dict.fromkeys(owners))}
    owner_of = np.array([places[owner] for owner in owners])
    method: _Method
    match model.problem.estimator:
        case Linear():
            method, weights = "coefficients", _effects(model, parts.train.matrix, owner_of)
        case NearestNeighbours():
            method, weights = "permutation", _permutation(model, owner_of, parts, report)
        case _:
            with np.errstate(invalid="ignore"):  # splits that gain nothing at all have no shares: 0/0
                own = model.fitted.feature_importances_
            summed = np.bincount(owner_of, weights=own)
            method, weights = "impurity", summed.astype(np.float64)
    names = list(places)
    best = np.argsort(-weights, kind="stable")[:MOST_COLUMNS]
    columns = tuple(Importance(column=names[place], importance=finite(weights[place])) for place in best)
    return Importances(method=method, columns=columns)


def _effects(model: Model, train: Matrix, owner_of: NDArray[np.intp]) -> _Weights:
    # How far what a column adds to the decision spreads over the rows: the sum of the weights would make much
    # of a column for having many words alone.
    coefficients = np.atleast_2d(model.fitted.coef_)
    spreads = np.empty(int(owner_of[-1]) + 1)
    for column in range(len(spreads)):
        places = owner_of == column
        spreads[column] = (train[:, places] @ coefficients[:, places].T).std(axis=0).mean()
    total = spreads.sum()
    return spreads / total if total > 0 else spreads


def _permutation(model: Model, owner_of: NDArray[np.intp], parts: Parts, report: Report) -> _Weights:
    columns = int(owner_of[-1]) + 1
    rows = _shuffled_rows(len(parts.test.matrix), parts.train.matrix.size * columns * SHUFFLES)
    random = np.random.default_rng(model.problem.seed)
    test, truth = parts.test.matrix[:rows], parts.test.values[:rows]
    if rows < 2:  # R2 compares rows with each other
        return np.full(columns, np.nan)
    score = accuracy_score if model.problem.is_classification else r2_score
    unshuffled, falls = score(truth, model.predict(test)), np.zeros(columns)
    for column in range(columns):
        shuffled = test.copy()
        for _ in range(SHUFFLES):
            shuffled[:, owner_of == column] = test[random.permutation(rows)][:, owner_of == column]
            falls[column] += (unshuffled - score(truth, model.predict(shuffled))) / SHUFFLES
        report((column + 1) / columns, f"{column + 1:,} of {columns:,}")
    return falls


def _shuffled_rows(available: int, differences_a_row: int) -> int:
    affordable = max(FEWEST_ROWS, MOST_DIFFERENCES // differences_a_row)
    return min(available, MOST_ROWS, affordable)
