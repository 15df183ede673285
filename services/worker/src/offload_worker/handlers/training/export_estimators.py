"""Each estimator of the allow-list as ONNX operators, from the encoded matrix to probabilities or a number."""

from typing import Any

import numpy as np
from onnx import TensorProto

from offload_shared.tasks.estimators import GradientBoosting, Linear, NearestNeighbours
from offload_worker.handlers.training.export_trees import WeighedTree, add_trees
from offload_worker.handlers.training.graph import Graph
from offload_worker.handlers.training.models import Model


def add_estimator(graph: Graph, model: Model, matrix: str) -> str:
    """Add what `model` computes from `matrix` and return it: probabilities, shape (rows, classes), or (rows, 1)."""
    match model.problem.estimator:
        case Linear():
            return _add_linear(graph, model, matrix)
        case NearestNeighbours():
            return _add_neighbours(graph, model, matrix)
        case GradientBoosting():
            return _add_boosting(graph, model, matrix)
        case _:
            return _add_forest(graph, model, matrix)


def _add_linear(graph: Graph, model: Model, matrix: str) -> str:
    weights = np.atleast_2d(model.fitted.coef_).astype(np.float64)
    product = graph.add("MatMul", graph.cast(matrix, TensorProto.DOUBLE), graph.constant(weights.T))
    decision = graph.add("Add", product, graph.constant(np.atleast_1d(model.fitted.intercept_).astype(np.float64)))
    return _add_link(graph, model, decision)


def _add_link(graph: Graph, model: Model, decision: str) -> str:
    """Turn a decision of 64 bits into probabilities; a regression's is its number already."""
    if not model.problem.is_classification:
        return decision
    if model.problem.classes > 2:
        return graph.add("Softmax", decision, axis=1)
    second = graph.add("Sigmoid", decision)
    first = graph.add("Sigmoid", graph.add("Neg", decision))
    return graph.add("Concat", first, second, axis=1)


def _add_forest(graph: Graph, model: Model, matrix: str) -> str:
    trees = [estimator.tree_ for estimator in model.fitted.estimators_]
    # Numbers are summed as differences from one of them: 32-bit floats hold small sums better than large ones.
    offset = 0.0 if model.problem.is_classification else float(trees[0].value[0, 0, 0])
    weighed = (WeighedTree(tree, tree.value[:, 0, :] - offset) for tree in trees)
    total = add_trees(graph, matrix, weighed, model.problem.classes or 1)
    mean = graph.add("Div", total, graph.constant(np.array([float(len(trees))])))
    return graph.add("Add", mean, graph.constant(np.array([offset])))


def _add_boosting(graph: Graph, model: Model, matrix: str) -> str:
    start, rate = _boosting_start(model.fitted), model.fitted.learning_rate
    weighed = (
        WeighedTree(estimator.tree_, estimator.tree_.value[:, 0, :] * rate, first_target=target)
        for boosting_round in model.fitted.estimators_
        for target, estimator in enumerate(boosting_round)
    )
    total = add_trees(graph, matrix, weighed, len(start))
    return _add_link(graph, model, graph.add("Add", total, graph.constant(start)))


def _boosting_start(fitted: Any) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return what boosting starts from: its decision for any row, less what the trees say about that row."""
    row = np.zeros((1, fitted.n_features_in_), np.float32)
    decision = fitted.decision_function(row) if hasattr(fitted, "decision_function") else fitted.predict(row)
    said = sum(np.array([tree.predict(row)[0] for tree in trees]) for trees in fitted.estimators_)
    return np.asarray(np.ravel(decision) - fitted.learning_rate * said)


def _add_neighbours(graph: Graph, model: Model, matrix: str) -> str:
    rows, values = model.learnt
    # |x - r|² without |x|², which is the same for every training row r and so does not change their order.
    # With 64 bits the other terms cancel no digit that matters.
    factors = graph.cast(graph.constant(-2 * rows.T), TensorProto.DOUBLE)  # exact, and stored with 32 bits
    products = graph.add("MatMul", graph.cast(matrix, TensorProto.DOUBLE), factors)
    distances = graph.add("Add", products, graph.constant((rows.astype(np.float64) ** 2).sum(axis=1)))
    count = graph.constant(np.array([model.fitted.n_neighbors], np.int64))
    nearest = graph.add("TopK", distances, count, axis=1, largest=0, sorted=0)
    found = graph.add("Gather", graph.constant(values), nearest)
    over_neighbours = graph.constant(np.array([1], np.int64))
    if not model.problem.is_classification:
        return graph.add("ReduceMean", found, over_neighbours, keepdims=1)
    labels = graph.constant(np.arange(model.problem.classes, dtype=np.int64))
    votes = graph.add("Equal", graph.add("Unsqueeze", found, graph.constant(np.array([2], np.int64))), labels)
    return graph.add("ReduceMean", graph.cast(votes, TensorProto.DOUBLE), over_neighbours, keepdims=0)
