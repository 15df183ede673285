"""Runs an ONNX model on rows: a batch at a time, so that a file of any size takes little memory."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from offload_shared.tasks.predict import Predict, PredictResult
from offload_worker.handle import JobHandle, JobRejected
from offload_worker.handlers.inputs import fetched
from offload_worker.handlers.prediction.answers import CsvAnswer, InlineAnswer, ParquetAnswer
from offload_worker.handlers.prediction.inputs import Input, plan_inputs, rows_at_once
from offload_worker.handlers.prediction.model import LoadedModel, ModelCache, load_model, said
from offload_worker.handlers.prediction.outputs import Said, understand
from offload_worker.handlers.prediction.tables import BATCH_ROWS, Columns, Table, open_table
from offload_worker.handlers.tables.wording import listed, unknown_column

MEDIA_TYPES = {"csv": "text/csv", "parquet": "application/vnd.apache.parquet"}

#: Outlives the job: the next one in this process finds its model loaded.
_models = ModelCache()


def predict(payload: Predict, job: JobHandle) -> PredictResult:
    """Say what the model says of each row; raises `JobRejected` when the model or the rows do not allow it."""
    began = time.monotonic()
    job.progress(0, "Loading the model")
    model, was_loaded = load_model(fetched(job, payload.model), _models)
    job.log("the model was loaded already" if was_loaded else f"the model was loaded: {model.size:,} bytes")
    table = open_table(payload, partial(fetched, job))
    _require_columns(payload, table)
    inputs = plan_inputs(model, table.names, payload.keep)
    kind = payload.output or ("inline" if payload.rows is not None else "csv")
    name = None if kind == "inline" else f"predictions.{kind}"
    answer = _answer(payload, kind, lambda: job.artifact(f"predictions.{kind}", MEDIA_TYPES[kind]))
    rows, classes = 0, model.classes
    try:
        for columns, told in _run(model, table, inputs, payload):
            answer.add(columns, told)
            rows, classes = rows + columns.rows, told.classes
            job.progress(min(99.0, 100 * columns.share), f"Predicting: {rows:,} rows")
    finally:
        answer.close()
    if not rows:
        raise JobRejected("The data has a header and no rows.")
    return PredictResult(
        rows=rows,
        target=model.target,
        classes=classes,
        predictions=tuple(answer.predictions) if isinstance(answer, InlineAnswer) else None,
        artifact=name,
        columns=None if isinstance(answer, InlineAnswer) else answer.columns,
        notes=table.notes,
        duration_seconds=round(time.monotonic() - began, 3),
    )


def _require_columns(payload: Predict, table: Table) -> None:
    for name in payload.keep:
        if name not in table.names:
            raise JobRejected(f"`keep`: {unknown_column(name, table.names)}")


def _answer(payload: Predict, kind: str, artifact: Callable[[], Any]) -> InlineAnswer | CsvAnswer | ParquetAnswer:
    match kind:
        case "inline":
            return InlineAnswer(payload.keep)
        case "csv":
            return CsvAnswer(artifact(), payload.keep)
        case _:
            return ParquetAnswer(artifact(), payload.keep)


def _run(model: LoadedModel, table: Table, inputs: list[Input], payload: Predict) -> Iterator[tuple[Columns, Said]]:
    wanted = tuple(dict.fromkeys((*(name for each in inputs for name in each.columns), *payload.keep)))
    most, before = rows_at_once(model, BATCH_ROWS), 0
    for columns in table.batches(wanted):
        feeds = {
            each.name: each.array(columns.cells, decimal_comma=table.decimal_comma, first_row=before + 1)
            for each in inputs
        }
        told = [_ask(model, feeds, start, min(most, columns.rows - start)) for start in range(0, columns.rows, most)]
        before += columns.rows
        yield columns, _joined(told, wanted=payload.probabilities)


def _ask(model: LoadedModel, feeds: dict[str, Any], start: int, rows: int) -> Said:
    part = {name: array[start : start + rows] for name, array in feeds.items()}
    try:
        outputs = model.session.run(None, part)
    except Exception as error:  # noqa: BLE001 - whatever a model makes the runtime say
        raise JobRejected(f"The model fails on the rows from {start + 1:,} of a batch on: {said(error)}") from None
    return understand(model, outputs, rows)


def _joined(told: list[Said], *, wanted: bool) -> Said:
    first = told[0]
    if any(each.classes != first.classes for each in told):
        raise JobRejected(f"The model names other classes for some rows than {listed(first.classes or ())}.")
    shares = [each.probabilities for each in told if each.probabilities is not None] if wanted else []
    return Said(
        [prediction for each in told for prediction in each.predictions],
        first.classes,
        np.concatenate(shares) if shares else None,
    )
