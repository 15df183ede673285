"""Which rows are learnt from, and which are kept to test on."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from offload_worker.handlers.training.target import Target

Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Split:
    """Places among the rows that have a target."""

    train: Rows
    test: Rows
    stratified: bool  # every class has its share of the test rows


def split_rows(target: Target, test_share: float, seed: int) -> Split:
    """Draw the test rows, the same ones for the same seed; every class keeps at least one row to learn from."""
    count = len(target.values)
    test_count, classes = math.ceil(count * test_share), len(target.classes)
    if classes > min(test_count, count - test_count):
        return _all_classes_in_train(target, test_count, seed)
    train, test = train_test_split(
        np.arange(count), test_size=test_count, random_state=seed, stratify=target.values if classes else None
    )
    return Split(train, test, stratified=classes > 0)


def _all_classes_in_train(target: Target, test_count: int, seed: int) -> Split:
    # More classes than test rows: they cannot all be tested, but what is never learnt could not be predicted either.
    order = np.random.default_rng(seed).permutation(len(target.values))
    _, first_of_class = np.unique(target.values[order], return_index=True)
    spare = np.delete(order, first_of_class)
    test = spare[:test_count]
    return Split(np.setdiff1d(order, test), test, stratified=False)
