"""Puts together what the client is told."""

from dataclasses import dataclass

from offload_shared.tasks.train_model import (
    Baseline,
    ClassificationScores,
    CrossValidation,
    Importances,
    RowCounts,
    Scores,
    TrainModel,
    TrainModelResult,
    UsedColumn,
)
from offload_worker.handlers.training.dataset import Dataset
from offload_worker.handlers.training.export_check import Agreement
from offload_worker.handlers.training.models import Model
from offload_worker.handlers.training.parts import Parts
from offload_worker.handlers.training.scores import Predictions, class_reports, confusion, finite
from offload_worker.handlers.training.table import Column, NumberColumn

MODEL_ARTIFACT = "model.onnx"
PLOT_ARTIFACT = "metrics.png"


@dataclass(frozen=True, slots=True)
class Tested:
    """What the test rows say about a model."""

    predictions: Predictions
    scores: Scores
    baseline: Baseline
    importances: Importances


def headline(payload: TrainModel, tested: Tested) -> str:
    """Return the plot's title: what was learnt, by what, and how well compared to looking at no column."""
    name = payload.estimator.__struct_config__.tag
    reached, to_beat = _leading(tested.scores), _leading(tested.baseline.scores)
    rows = f"{len(tested.predictions.truth):,} test rows"
    return f"{payload.target[:80]}: {name}, {reached} on {rows} ({to_beat} by the {tested.baseline.strategy})"


def write_result(
    payload: TrainModel,
    data: Dataset,
    parts: Parts,
    *,
    model: Model,
    tested: Tested,
    validation: CrossValidation | None,
    agreement: Agreement,
) -> TrainModelResult:
    """Return the result; its duration is still to be set."""
    classes = data.target.classes
    return TrainModelResult(
        kind=data.target.kind,
        target=data.target.name,
        estimator=payload.estimator,
        scores=tested.scores,
        baseline=tested.baseline,
        cross_validation=validation,
        classes=class_reports(tested.predictions, classes) if classes else None,
        confusion_matrix=confusion(tested.predictions, classes) if classes else None,
        importances=tested.importances,
        rows=_row_counts(data, parts),
        stratified=parts.stratified,
        used_columns=tuple(map(_used, data.columns)),
        dropped_columns=data.dropped,
        notes=(*data.notes, *model.notes()),
        delimiter=data.delimiter,
        encoding=data.encoding,
        model_artifact=MODEL_ARTIFACT,
        plot_artifact=PLOT_ARTIFACT,
        model_checked_rows=agreement.rows,
        model_largest_difference=finite(agreement.largest_difference),
        duration_seconds=0.0,
    )


def _leading(scores: Scores) -> str:
    if isinstance(scores, ClassificationScores):
        return f"accuracy {scores.accuracy:.3f}"
    return "R² undefined" if scores.r2 is None else f"R² {scores.r2:.3f}"


def _row_counts(data: Dataset, parts: Parts) -> RowCounts:
    used = len(data.target.rows)
    return RowCounts(
        read=data.rows_read,
        dropped=data.rows_read - used,
        used=used,
        train=len(parts.train.values),
        test=len(parts.test.values),
    )


def _used(column: Column) -> UsedColumn:
    missing = int(column.missing.sum())
    return UsedColumn(
        name=column.name, type="number" if isinstance(column, NumberColumn) else "category", missing=missing
    )
