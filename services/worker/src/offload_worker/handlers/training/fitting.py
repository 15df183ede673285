"""Fits the estimators of the allow-list so that one can see how far they are, and before they grow too large."""

import time
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.utils.class_weight import compute_sample_weight

from offload_shared.tasks.estimators import (
    ExtraTrees,
    Forest,
    GradientBoosting,
    Linear,
    NearestNeighbours,
    RandomForest,
)
from offload_worker.handle import JobRejected
from offload_worker.handlers.training.encoder import Matrix
from offload_worker.handlers.training.models import Model, Problem, Values
from offload_worker.handlers.training.progress import Report

#: Of all trees together: as ONNX, written and then loaded by its runtime, a node takes up to 400 bytes of memory.
MAX_NODES = 2_000_000
NODES_MARGIN = 1.1  # by how much a forest may be expected to exceed it, while it grows

#: Trees are grown in steps of about this long, so that progress is steady whatever the size of the table.
STEP_SECONDS = 0.25


def fit(problem: Problem, matrix: Matrix, values: Values, report: Report) -> Model:
    """Fit the problem's estimator on training rows; raises `JobRejected` when it cannot be, or grows too large."""
    match problem.estimator:
        case Linear():
            fitted = _fit_linear(problem, problem.estimator, matrix, values)
        case RandomForest() | ExtraTrees():
            fitted = _grow_forest(problem, problem.estimator, matrix, values, report)
        case GradientBoosting():
            fitted = _boost(problem, problem.estimator, matrix, values, report)
        case NearestNeighbours():
            fitted = _remember(problem, problem.estimator, matrix, values)
    return Model(problem, fitted, (matrix, values))


def _fit_linear(problem: Problem, wish: Linear, matrix: Matrix, values: Values) -> Any:
    model = (
        LogisticRegression(C=1 / wish.regularization, max_iter=wish.max_iterations)
        if problem.is_classification
        else Ridge(alpha=wish.regularization)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it goes into the result's notes
        return model.fit(matrix.astype(np.float64), values, sample_weight=_weights(values, balanced=wish.balanced))


def _grow_forest(problem: Problem, wish: Forest, matrix: Matrix, values: Values, report: Report) -> Any:
    model = _forest_class(problem)(
        max_depth=wish.max_depth,
        max_features=wish.max_features or ("sqrt" if problem.is_classification else 1.0),
        min_samples_leaf=wish.min_samples_leaf,
        random_state=problem.seed,
        n_jobs=1,
        warm_start=True,  # a fit adds the trees that are missing: the same ones as in a single fit
    )
    weights = _weights(values, balanced=wish.balanced)
    grown, step, nodes = 0, 1, 0
    while grown < wish.trees:
        began, before = time.monotonic(), grown
        grown = min(wish.trees, grown + step)
        model.set_params(n_estimators=grown).fit(matrix, values, sample_weight=weights)
        nodes += _count_nodes(model.estimators_[before:])
        _check_nodes(nodes, grown, wish.trees)
        report(grown / wish.trees, f"{grown:,} of {wish.trees:,} trees")
        step = _next_step(step, time.monotonic() - began)
    return model


def _forest_class(problem: Problem) -> Any:
    if isinstance(problem.estimator, RandomForest):
        return RandomForestClassifier if problem.is_classification else RandomForestRegressor
    return ExtraTreesClassifier if problem.is_classification else ExtraTreesRegressor


def _next_step(step: int, seconds: float) -> int:
    if seconds < STEP_SECONDS / 2:
        return step * 2
    return max(1, step // 2) if seconds > STEP_SECONDS * 2 else step


def _boost(problem: Problem, wish: GradientBoosting, matrix: Matrix, values: Values, report: Report) -> Any:
    model = (GradientBoostingClassifier if problem.is_classification else GradientBoostingRegressor)(
        n_estimators=wish.trees,
        learning_rate=wish.learning_rate,
        max_depth=wish.max_depth,
        subsample=wish.subsample,
        min_samples_leaf=wish.min_samples_leaf,
        random_state=problem.seed,
    )
    nodes = 0

    def monitor(place: int, growing: Any, _: object) -> bool:
        nonlocal nodes
        nodes += _count_nodes(growing.estimators_[place])
        _check_nodes(nodes, place + 1, wish.trees)
        report((place + 1) / wish.trees, f"{place + 1:,} of {wish.trees:,} rounds")
        return False

    weights = _weights(values, balanced=wish.balanced)
    return model.fit(matrix, values, sample_weight=weights, monitor=monitor)


def _remember(problem: Problem, wish: NearestNeighbours, matrix: Matrix, values: Values) -> Any:
    if wish.neighbours > len(matrix):
        raise JobRejected(f"There are {len(matrix):,} rows to train on, fewer than the {wish.neighbours:,} neighbours.")
    model = KNeighborsClassifier if problem.is_classification else KNeighborsRegressor
    return model(n_neighbors=wish.neighbours, n_jobs=1).fit(matrix, values)


def _weights(values: Values, *, balanced: bool) -> NDArray[np.float64] | None:
    return compute_sample_weight("balanced", values) if balanced else None


def _count_nodes(trees: Iterable[Any]) -> int:
    return sum(tree.tree_.node_count for tree in trees)


def _check_nodes(nodes: int, grown: int, wanted: int) -> None:
    expected = nodes / grown * wanted  # trees are much alike, so that the first few tell
    if expected > MAX_NODES * (1 if grown == wanted else NODES_MARGIN):
        raise JobRejected(
            f"{wanted:,} trees would have about {expected:,.0f} nodes, judged by the first {grown:,}, of at most "
            f"{MAX_NODES:,}; ask for up to {MAX_NODES * wanted / expected:,.0f} trees, a smaller `max_depth` "
            "or a larger `min_samples_leaf`."
        )
