"""Trees as ONNX's one tree operator, which sums for each row what the leaves it falls into say.

A forest's nodes go from scikit-learn's arrays into the attributes tree by tree: at no time is there a Python object
for every node of the forest.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import AttributeProto, TensorProto

from offload_worker.handlers.training.graph import TREES_DOMAIN, Graph

#: The operator sums with 32 bits, in which the sum of thousands of trees would lose digits; so a few at a time.
GROUP_TREES = 250

_ATTRIBUTES = {
    "nodes_treeids": AttributeProto.INTS,
    "nodes_nodeids": AttributeProto.INTS,
    "nodes_featureids": AttributeProto.INTS,
    "nodes_truenodeids": AttributeProto.INTS,
    "nodes_falsenodeids": AttributeProto.INTS,
    "nodes_values": AttributeProto.FLOATS,
    "nodes_modes": AttributeProto.STRINGS,
    "target_treeids": AttributeProto.INTS,
    "target_nodeids": AttributeProto.INTS,
    "target_ids": AttributeProto.INTS,
    "target_weights": AttributeProto.FLOATS,
}


@dataclass(frozen=True, slots=True)
class WeighedTree:
    """A tree of scikit-learn, and what each of its nodes adds to the targets from `first_target` on."""

    tree: Any  # sklearn.tree._tree.Tree
    weights: NDArray[np.float64]  # shape (nodes, targets); those of inner nodes are not used
    first_target: int = 0


def add_trees(graph: Graph, matrix: str, trees: Iterable[WeighedTree], targets: int) -> str:
    """Add the sum of `trees`, of which there is at least one, over `matrix`: 64-bit floats, shape (rows, targets)."""
    remaining, total = iter(trees), ""
    while group := list(islice(remaining, GROUP_TREES)):
        part = graph.cast(_add_group(graph, matrix, group, targets), TensorProto.DOUBLE)
        total = graph.add("Add", total, part) if total else part
    return total


def _add_group(graph: Graph, matrix: str, trees: Sequence[WeighedTree], targets: int) -> str:
    output = graph.add("TreeEnsembleRegressor", matrix, domain=TREES_DOMAIN, n_targets=targets)
    added = graph.last_node.attribute
    attributes = {name: added.add(name=name, type=kind) for name, kind in _ATTRIBUTES.items()}
    for place, tree in enumerate(trees):
        _add_nodes(attributes, place, tree)
        _add_leaves(attributes, place, tree)
    return output


def _add_nodes(attributes: dict[str, AttributeProto], place: int, weighed: WeighedTree) -> None:
    tree = weighed.tree
    leaf = tree.children_left < 0
    columns = {
        "nodes_treeids": np.full(tree.node_count, place),
        "nodes_nodeids": np.arange(tree.node_count),
        "nodes_featureids": np.where(leaf, 0, tree.feature),
        "nodes_truenodeids": np.where(leaf, 0, tree.children_left),
        "nodes_falsenodeids": np.where(leaf, 0, tree.children_right),
    }
    for name, values in columns.items():
        attributes[name].ints.extend(values.tolist())
    attributes["nodes_values"].floats.extend(np.where(leaf, 0, _rounded_down(tree.threshold)).tolist())
    attributes["nodes_modes"].strings.extend(np.where(leaf, b"LEAF", b"BRANCH_LEQ").tolist())


def _add_leaves(attributes: dict[str, AttributeProto], place: int, weighed: WeighedTree) -> None:
    leaves = np.flatnonzero(weighed.tree.children_left < 0)
    weights = weighed.weights[leaves]
    # Most leaves of a classifier know a single class: zeros are left out, as long as a leaf keeps one weight.
    rows, targets = np.nonzero(weights if weights.shape[1] > 1 else np.ones_like(weights))
    attributes["target_treeids"].ints.extend([place] * len(rows))
    attributes["target_nodeids"].ints.extend(leaves[rows].tolist())
    attributes["target_ids"].ints.extend((targets + weighed.first_target).tolist())
    attributes["target_weights"].floats.extend(weights[rows, targets].tolist())


def _rounded_down(thresholds: NDArray[np.float64]) -> NDArray[np.float32]:
    # x <= threshold must hold for the same 32-bit x when the threshold has only 32 bits, too.
    rounded = thresholds.astype(np.float32)
    return np.where(rounded > thresholds, np.nextafter(rounded, np.float32(-np.inf)), rounded)
