"""The estimators that `train-model` knows, each with its parameters, and grids of them to search."""

from typing import Annotated, TypeVar

from msgspec import Meta, Struct

Value = TypeVar("Value")


class Estimator(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="name"):
    """The base of every estimator; the names of the parameters are scikit-learn's, where it has them."""


Regularization = Annotated[float, Meta(ge=1e-6, le=1e6, description="Higher keeps the weights smaller.")]
Iterations = Annotated[int, Meta(ge=10, le=100_000, description="Of logistic regression's solver.")]
Trees = Annotated[int, Meta(ge=1, le=5000, description="How many trees to grow.")]
Rounds = Annotated[int, Meta(ge=1, le=10_000, description="How many rounds of boosting.")]
LearningRate = Annotated[float, Meta(gt=0, le=1)]
ShallowDepth = Annotated[int, Meta(ge=1, le=16)]
ShareOfRows = Annotated[float, Meta(gt=0, le=1, description="Share of the rows a tree is grown on.")]
Neighbours = Annotated[int, Meta(ge=1, le=1000)]
Balanced = Annotated[bool, Meta(description="Let a row of a rare class weigh more; for classification alone.")]
RowsPerLeaf = Annotated[int, Meta(ge=1, le=100_000, description="The fewest training rows a leaf may hold.")]
Depth = Annotated[int, Meta(ge=1, le=100, description="Null lets the trees grow until their leaves are pure.")]
ShareOfColumns = Annotated[float, Meta(gt=0, le=1, description="A split may choose from this share of the columns.")]


class Linear(Estimator, frozen=True, kw_only=True, tag="linear"):
    """Logistic regression for classes, ridge regression for numbers, on standardized columns."""

    regularization: Regularization = 1.0
    max_iterations: Iterations = 1000
    balanced: Balanced = False


class Forest(Estimator, frozen=True, kw_only=True):
    """What both kinds of forest have in common."""

    trees: Trees = 300
    max_depth: Depth | None = None
    max_features: ShareOfColumns | None = None  # null: the square root of their number for classes, all for numbers
    min_samples_leaf: RowsPerLeaf = 1
    balanced: Balanced = False


class RandomForest(Forest, frozen=True, kw_only=True, tag="random-forest"):
    """Many deep trees, each grown on a random draw of the rows."""


class ExtraTrees(Forest, frozen=True, kw_only=True, tag="extra-trees"):
    """Many deep trees with random splits: quicker to grow than a random forest, and larger."""


class GradientBoosting(Estimator, frozen=True, kw_only=True, tag="gradient-boosting"):
    """Shallow trees, each correcting those before it; with more than two classes, one tree a class and round."""

    trees: Rounds = 200
    learning_rate: LearningRate = 0.1
    max_depth: ShallowDepth = 3
    subsample: ShareOfRows = 1.0
    min_samples_leaf: RowsPerLeaf = 1
    balanced: Balanced = False


class NearestNeighbours(Estimator, frozen=True, kw_only=True, tag="nearest-neighbours"):
    """The vote, or the mean, of the training rows nearest to a row, on standardized columns."""

    neighbours: Neighbours = 5


AnyEstimator = Linear | RandomForest | ExtraTrees | GradientBoosting | NearestNeighbours

#: Values of a parameter, of which each is tried.
Tried = Annotated[tuple[Value, ...], Meta(min_length=1, max_length=20)]


class Grid(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="name"):
    """The base of every grid: an estimator with values of its parameters, of which every combination is a candidate."""


class LinearGrid(Grid, frozen=True, kw_only=True, tag="linear"):
    """Linear models."""

    regularization: Tried[Regularization] = (1.0,)
    max_iterations: Tried[Iterations] = (1000,)
    balanced: Tried[Balanced] = (False,)


class ForestGrid(Grid, frozen=True, kw_only=True):
    """What both kinds of forest have in common."""

    trees: Tried[Trees] = (300,)
    max_depth: Tried[Depth | None] = (None,)
    max_features: Tried[ShareOfColumns | None] = (None,)
    min_samples_leaf: Tried[RowsPerLeaf] = (1,)
    balanced: Tried[Balanced] = (False,)


class RandomForestGrid(ForestGrid, frozen=True, kw_only=True, tag="random-forest"):
    """Random forests."""


class ExtraTreesGrid(ForestGrid, frozen=True, kw_only=True, tag="extra-trees"):
    """Forests with random splits."""


class GradientBoostingGrid(Grid, frozen=True, kw_only=True, tag="gradient-boosting"):
    """Boosted trees."""

    trees: Tried[Rounds] = (200,)
    learning_rate: Tried[LearningRate] = (0.1,)
    max_depth: Tried[ShallowDepth] = (3,)
    subsample: Tried[ShareOfRows] = (1.0,)
    min_samples_leaf: Tried[RowsPerLeaf] = (1,)
    balanced: Tried[Balanced] = (False,)


class NearestNeighboursGrid(Grid, frozen=True, kw_only=True, tag="nearest-neighbours"):
    """Nearest neighbours."""

    neighbours: Tried[Neighbours] = (5,)


AnyGrid = LinearGrid | RandomForestGrid | ExtraTreesGrid | GradientBoostingGrid | NearestNeighboursGrid

#: What a grid's candidates are.
ESTIMATORS: dict[type[Grid], type[AnyEstimator]] = {
    LinearGrid: Linear,
    RandomForestGrid: RandomForest,
    ExtraTreesGrid: ExtraTrees,
    GradientBoostingGrid: GradientBoosting,
    NearestNeighboursGrid: NearestNeighbours,
}
