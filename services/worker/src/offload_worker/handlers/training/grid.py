"""The candidates of a search: combinations of parameters' values, all of them or a draw."""

import math
import random
from collections.abc import Sequence

from offload_shared.tasks.estimators import ESTIMATORS, AnyEstimator, Grid
from offload_shared.tasks.train_model import Search


def combinations(search: Search) -> int:
    """Return how many combinations there are."""
    return sum(_size(grid) for grid in search.over)


def candidates(search: Search, seed: int) -> list[AnyEstimator]:
    """Return the estimators to compare, each once; the same ones for the same seed."""
    count = combinations(search)
    places: Sequence[int] = range(count)
    if count > search.most:
        places = sorted(random.Random(seed).sample(places, search.most))  # noqa: S311 - guards nothing
    return list(dict.fromkeys(_candidate(search.over, place) for place in places))


def _size(grid: Grid) -> int:
    return math.prod(len(getattr(grid, name)) for name in grid.__struct_fields__)


def _candidate(grids: Sequence[Grid], place: int) -> AnyEstimator:
    for grid in grids:
        if place < _size(grid):
            return _combination(grid, place)
        place -= _size(grid)
    raise IndexError(place)


def _combination(grid: Grid, place: int) -> AnyEstimator:
    chosen = {}
    for name in grid.__struct_fields__:
        values = getattr(grid, name)
        place, choice = divmod(place, len(values))
        chosen[name] = values[choice]
    return ESTIMATORS[type(grid)](**chosen)
