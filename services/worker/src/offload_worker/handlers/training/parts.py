"""The rows to learn from and those to test on, as matrices that only the former have shaped."""

from collections.abc import Sequence
from dataclasses import dataclass

from offload_worker.handlers.training.dataset import Dataset
from offload_worker.handlers.training.encoder import Encoder, Matrix, check_size, fit_encoder
from offload_worker.handlers.training.models import Problem, Values
from offload_worker.handlers.training.split import Split
from offload_worker.handlers.training.table import Column


@dataclass(frozen=True, slots=True)
class Part:
    """Some of the rows: their columns, what these encode to, and the target."""

    columns: Sequence[Column]
    matrix: Matrix
    values: Values


@dataclass(frozen=True, slots=True)
class Parts:
    """Both parts, and the encoder that the training rows gave."""

    encoder: Encoder
    train: Part
    test: Part
    stratified: bool


def encode_parts(problem: Problem, data: Dataset, split: Split) -> Parts:
    """Encode both parts; raises `JobRejected` when they would not fit a worker's memory."""
    learnt = [column.at(split.train) for column in data.columns]
    tested = [column.at(split.test) for column in data.columns]
    encoder = fit_encoder(learnt, standardized=problem.standardized)
    check_size(encoder, len(data.target.values), problem.classes)
    train, test = (
        Part(columns, encoder.encode(columns), data.target.values[rows])
        for columns, rows in ((learnt, split.train), (tested, split.test))
    )
    return Parts(encoder, train, test, split.stratified)
