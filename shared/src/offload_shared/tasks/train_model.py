"""`train-model`: trains a model on a table, measures it on rows it has not seen, and leaves it behind as ONNX."""

from enum import StrEnum
from typing import Annotated, Literal

from msgspec import Meta, Struct

from offload_shared.tasks.estimators import AnyEstimator, AnyGrid, RandomForest
from offload_shared.tasks.task import FileId, Payload, Result, RunsIn, Task

ColumnName = Annotated[
    str, Meta(min_length=1, max_length=256, description="The name of a column, as the header has it.")
]

ColumnNames = Annotated[tuple[ColumnName, ...], Meta(max_length=2000)]

#: What a file without a byte order mark may be written in besides UTF-8; named as Python's codecs are.
Encoding = Literal[
    "utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "iso-8859-1", "iso-8859-2", "iso-8859-15", "cp1250",
    "cp1251", "cp1252", "cp1253", "cp1254", "cp437", "cp850", "mac-roman", "koi8-r", "shift_jis", "euc-jp", "euc-kr",
    "gb18030", "big5",
]  # fmt: skip


class Kind(StrEnum):
    """What is predicted."""

    CLASSIFICATION = "classification"  # which of a few classes a row belongs to
    REGRESSION = "regression"  # a number


Folds = Annotated[int, Meta(ge=2, le=20, description="Also cross-validate, on the training rows, in so many parts.")]
#: Every sign of Latin-1 but the quotation mark. One by one: `\w` is one thing to Python and another to JSON Schema.
_SIGNS = r"[\t !#-/:-@\[-^`{-~\u00a1-\u00a9\u00ab-\u00b1\u00b4\u00b6-\u00b8\u00bb\u00bf\u00d7\u00f7]"
Delimiter = Annotated[str, Meta(pattern=f"^{_SIGNS}$", description="Found out when left out.")]


Metric = Literal["accuracy", "balanced_accuracy", "f1_macro", "f1_weighted", "roc_auc", "r2", "mae", "rmse"]


class Search(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Models to compare by cross-validation on the training rows; the best is trained on all of them, and tested."""

    over: Annotated[
        tuple[AnyGrid, ...],
        Meta(min_length=1, max_length=20, description="Estimators, each parameter with the values to try."),
    ]
    folds: Annotated[int, Meta(ge=2, le=20, description="Each candidate is trained so many times.")] = 5
    most: Annotated[int, Meta(ge=1, le=500, description="Of more combinations, so many are drawn at random.")] = 50
    by: Annotated[
        Metric | None, Meta(description="The score that decides; left out, accuracy for classes and R2 for numbers.")
    ] = None


class TrainModel(Payload, frozen=True, kw_only=True):
    """Which table to learn from, what to predict, and how."""

    file_id: FileId
    target: Annotated[str, Meta(min_length=1, max_length=256, description="The column to predict.")]
    kind: Annotated[Kind | None, Meta(description="Found out from the target when left out.")] = None
    estimator: AnyEstimator = RandomForest()
    search: Annotated[Search | None, Meta(description="Find the estimator among these; takes the place of it.")] = None
    features: Annotated[ColumnNames | None, Meta(description="Learn from these columns alone.")] = None
    ignore: Annotated[ColumnNames, Meta(description="Columns not to learn from.")] = ()
    categorical: Annotated[ColumnNames, Meta(description="Columns whose numbers are names, as postcodes are.")] = ()
    test_share: Annotated[float, Meta(ge=0.05, le=0.5, description="Share of the rows kept to test on.")] = 0.2
    cross_validation_folds: Folds | None = None
    cross_validation_repeats: Annotated[int, Meta(ge=1, le=100, description="Each time with other folds.")] = 1
    seed: Annotated[int, Meta(ge=0, le=2**32 - 1, description="The same seed gives the same model.")] = 0
    delimiter: Delimiter | None = None
    encoding: Annotated[Encoding | None, Meta(description="Found out when left out.")] = None

    def __post_init__(self) -> None:
        """Refuse wishes that contradict each other."""
        if self.features == ():
            raise ValueError("`features` names no column; leave it out to learn from all of them")
        if self.target in (*(self.features or ()), *self.ignore, *self.categorical):
            raise ValueError("the target is neither a feature, nor a column to ignore, nor listed as categorical")
        if self.cross_validation_repeats > 1 and self.cross_validation_folds is None:
            raise ValueError("`cross_validation_repeats` needs `cross_validation_folds`")
        if self.search is not None and self.cross_validation_folds is not None:
            raise ValueError("`search` cross-validates each candidate; leave out `cross_validation_folds`")
        if self.kind == Kind.REGRESSION and getattr(self.estimator, "balanced", False):
            raise ValueError("`balanced` weighs classes, and regression has none")


class ClassificationScores(Struct, frozen=True, kw_only=True, tag_field="kind", tag="classification"):
    """How well classes are predicted, each score from 0 to 1; null where it is not defined."""

    accuracy: float | None
    balanced_accuracy: float | None  # the mean recall of the classes
    f1_macro: float | None  # every class counts alike
    f1_weighted: float | None  # every row counts alike
    roc_auc: float | None  # with more than two classes: the mean of each against the rest


class RegressionScores(Struct, frozen=True, kw_only=True, tag_field="kind", tag="regression"):
    """How well numbers are predicted; null where it is not defined."""

    r2: float | None  # share of the target's variance that is explained; 0 is no better than the mean
    mae: float | None  # mean absolute error, in the target's unit
    rmse: float | None  # root mean squared error, in the target's unit


Scores = ClassificationScores | RegressionScores


class Baseline(Struct, frozen=True, kw_only=True):
    """What a model that looks at no feature reaches on the same test rows."""

    strategy: Literal["most frequent class", "mean"]
    scores: Scores


class CrossValidation(Struct, frozen=True, kw_only=True):
    """The scores of models trained and tested on changing parts of the training rows."""

    folds: int
    repeats: int
    mean: Scores
    std: Scores  # standard deviation over all folds of all repeats


class Candidate(Struct, frozen=True, kw_only=True):
    """One of the models that were compared: its scores over the folds, or why it could not be trained."""

    estimator: AnyEstimator
    mean: Scores | None
    std: Scores | None  # standard deviation over the folds
    refused: str | None
    seconds: float


class SearchResult(Struct, frozen=True, kw_only=True):
    """The models that were compared, the best first."""

    by: Metric
    folds: int
    combinations: int  # there are, of which the candidates may be a draw
    candidates: tuple[Candidate, ...]


class ClassReport(Struct, frozen=True, kw_only=True):
    """How well one class is predicted on the test rows."""

    label: str
    precision: float | None
    recall: float | None
    f1: float | None
    roc_auc: float | None
    support: int  # test rows of this class


class ConfusionMatrix(Struct, frozen=True, kw_only=True):
    """How many test rows of each class (rows, in the order of `labels`) were predicted as each class (columns)."""

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


class Importance(Struct, frozen=True, kw_only=True):
    """How much the model relies on one column of the table."""

    column: str
    importance: float | None


class Importances(Struct, frozen=True, kw_only=True):
    """How much the model relies on each column, the most important first.

    `impurity`: the share of the trees' gain; `coefficients`: the share of how far what the column adds to
    the decision spreads over the rows; `permutation`: how much accuracy or R2 on test rows falls when the column is
    shuffled. At most 200 columns are named.
    """

    method: Literal["impurity", "coefficients", "permutation"]
    columns: tuple[Importance, ...]


class UsedColumn(Struct, frozen=True, kw_only=True):
    """A column the model takes as input, and how."""

    name: str
    type: Literal["number", "category"]
    missing: int  # rows without a value: filled with the median, or a category of their own


class DroppedColumn(Struct, frozen=True, kw_only=True):
    """A column the model does not see, and why."""

    name: str
    reason: str


class RowCounts(Struct, frozen=True, kw_only=True):
    """What became of the rows of the table."""

    read: int
    dropped: int  # their target is missing
    used: int
    train: int
    test: int


class TrainModelResult(Result, frozen=True, kw_only=True):
    """What was learnt, and how well; `model.onnx` and `metrics.png` are the job's artifacts."""

    kind: Kind
    target: str
    estimator: AnyEstimator
    scores: Scores  # on the test rows
    baseline: Baseline
    cross_validation: CrossValidation | None  # after a search: of the estimator that it found
    classes: tuple[ClassReport, ...] | None
    confusion_matrix: ConfusionMatrix | None
    importances: Importances
    rows: RowCounts
    stratified: bool  # whether every class has its share of the test rows
    used_columns: tuple[UsedColumn, ...]
    dropped_columns: tuple[DroppedColumn, ...]
    notes: tuple[str, ...]  # what a careful reader should know of the table or the training
    delimiter: str
    encoding: str
    model_artifact: str
    plot_artifact: str
    model_checked_rows: int  # test rows on which the ONNX model and scikit-learn's were compared
    model_largest_difference: float | None  # between the two: of a probability, or of a number in the target's unit
    duration_seconds: float
    search: SearchResult | None = None


TRAIN_MODEL = Task(
    name="train-model",
    summary="Trains a classifier or a regressor on a CSV table, tests it, and leaves an ONNX model and a plot behind.",
    payload=TrainModel,
    result=TrainModelResult,
    queue="cpu",
    runs_in=RunsIn.PROCESS,
    timeout_seconds=3600,
    memory_limit_mb=2048,
    max_attempts=3,
)
