"""`predict`: what an ONNX model says of rows, a few given in the payload or a file of any size."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from offload_shared.tasks.task import FileSource, Payload, Result, RunsIn, Task
from offload_shared.tasks.train_model import ColumnName, ColumnNames, Delimiter, Encoding

MOST_ROWS_INLINE = 1000

#: What one column holds in one row; null where the value is missing.
Cell = float | Annotated[str, Meta(max_length=10_000)] | bool | None
Row = Annotated[dict[ColumnName, Cell], Meta(min_length=1, max_length=2000)]
Rows = Annotated[tuple[Row, ...], Meta(min_length=1, max_length=MOST_ROWS_INLINE)]


class Predict(Payload, frozen=True, kw_only=True):
    """Which model, what to predict for, and how to answer. Either `rows` or `data`."""

    model: Annotated[
        FileSource, Meta(description="An ONNX file: `model.onnx` of a job of train-model, or one that was uploaded.")
    ]
    rows: Annotated[Rows | None, Meta(description="The rows themselves, each an object by column.")] = None
    data: Annotated[FileSource | None, Meta(description="A CSV or Parquet file of rows.")] = None
    keep: Annotated[ColumnNames, Meta(description="Columns to carry over beside the predictions.")] = ()
    probabilities: Annotated[bool, Meta(description="Also tell the probability of each class.")] = True
    output: Annotated[
        Literal["inline", "csv", "parquet"] | None,
        Meta(description="Left out: inline for `rows`, a CSV file for `data`."),
    ] = None
    delimiter: Delimiter | None = None
    encoding: Annotated[Encoding | None, Meta(description="Of a CSV file; found out when left out.")] = None

    def __post_init__(self) -> None:
        """Refuse wishes that contradict each other."""
        if (self.rows is None) == (self.data is None):
            raise ValueError("give either `rows` or `data`")
        if self.data is None and (self.delimiter or self.encoding):
            raise ValueError("`delimiter` and `encoding` are of a file, and `rows` needs neither")
        if len(set(self.keep)) != len(self.keep):
            raise ValueError("`keep` names a column twice")


class Prediction(Struct, frozen=True, kw_only=True):
    """What the model says of one row."""

    prediction: float | str | None  # a class, or a number; null where the model computed none
    probabilities: tuple[float | None, ...] | None = None  # in the order of the result's `classes`
    kept: dict[str, Cell] | None = None


class PredictResult(Result, frozen=True, kw_only=True):
    """The predictions, inline or as the artifact `predictions.csv` or `predictions.parquet`."""

    rows: int
    target: str | None  # what is predicted, where the model says so
    classes: tuple[str, ...] | None  # null where the model predicts numbers
    predictions: tuple[Prediction, ...] | None
    artifact: str | None
    columns: tuple[str, ...] | None  # of the artifact
    notes: tuple[str, ...]  # what a careful reader should know of the rows
    duration_seconds: float


PREDICT = Task(
    name="predict",
    summary="Runs an ONNX model on rows, inline or from a CSV or Parquet file of any size.",
    payload=Predict,
    result=PredictResult,
    queue="cpu",
    runs_in=RunsIn.PROCESS,
    timeout_seconds=3600,
    memory_limit_mb=2048,
    max_attempts=3,
)
