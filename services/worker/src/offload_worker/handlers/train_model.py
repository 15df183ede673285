"""Trains a model on a table: reads, cross-validates, fits, tests, exports and draws, telling how far it is."""

import time
import warnings

from msgspec import structs

from offload_shared.tasks.train_model import CrossValidation, SearchResult, TrainModel, TrainModelResult
from offload_worker.handle import JobHandle
from offload_worker.handlers.training.dataset import Dataset, read_dataset
from offload_worker.handlers.training.export import to_onnx
from offload_worker.handlers.training.export_check import Agreement, check_export
from offload_worker.handlers.training.fitting import fit
from offload_worker.handlers.training.grid import combinations
from offload_worker.handlers.training.importances import weigh_columns
from offload_worker.handlers.training.models import Model, Problem, state_problem
from offload_worker.handlers.training.parts import Parts, encode_parts
from offload_worker.handlers.training.plot import draw
from offload_worker.handlers.training.progress import Progress
from offload_worker.handlers.training.report import MODEL_ARTIFACT, PLOT_ARTIFACT, Tested, headline, write_result
from offload_worker.handlers.training.scores import Predictions, baseline, predict, score
from offload_worker.handlers.training.search import notes_of, search_models, validation_of
from offload_worker.handlers.training.split import Split, split_rows
from offload_worker.handlers.training.validation import check_folds, cross_validate

ONNX_TYPE = "application/octet-stream"  # no media type is registered for ONNX

#: Where training begins and ends, in percent; the fits of a cross-validation and the last one share what is between.
FIT_START, FIT_END = 8.0, 88.0


def train_model(payload: TrainModel, job: JobHandle) -> TrainModelResult:
    """Train, test and export a model.

    Raises `JobRejected` when the table or a wish does not allow it, and `ModelMismatch` when the ONNX model does not
    predict what the trained one does.
    """
    began = time.monotonic()
    with warnings.catch_warnings():
        # Many classes for few rows are what the client asked for; scikit-learn would say so at every fit and score.
        warnings.filterwarnings("ignore", "The number of unique classes is greater", UserWarning)
        result = _train(payload, job, Progress(job))
    return structs.replace(result, duration_seconds=round(time.monotonic() - began, 3))


def _train(payload: TrainModel, job: JobHandle, progress: Progress) -> TrainModelResult:
    progress.stage(0, 0, "Fetching the table")
    data = read_dataset(job.file(payload.file_id), payload, progress)
    split = split_rows(data.target, payload.test_share, payload.seed)
    found = _search(payload, data, split, job, progress)
    if found is not None:
        payload = structs.replace(payload, estimator=found.candidates[0].estimator)
    problem = state_problem(payload, data.target)
    parts = encode_parts(problem, data, split)
    validation = validation_of(found) if found else _validate(payload, problem, data, parts, progress)
    fitting = progress.stage(_fit_start(payload), FIT_END, "Training")
    model = fit(problem, parts.train.matrix, parts.train.values, fitting)
    tested = _test(model, parts, progress)
    agreement = _export(job, model, data=data, parts=parts, expected=tested.predictions, progress=progress)
    progress.stage(97, 99, "Drawing the plot")
    plot = job.artifact(PLOT_ARTIFACT, "image/png")
    draw(plot, headline(payload, tested), tested.predictions, data.target.classes, tested.importances)
    result = write_result(payload, data, parts, model=model, tested=tested, validation=validation, agreement=agreement)
    progress.stage(100, 100, "Done")
    return structs.replace(result, search=found, notes=(*result.notes, *notes_of(found))) if found else result


def _search(
    payload: TrainModel, data: Dataset, split: Split, job: JobHandle, progress: Progress
) -> SearchResult | None:
    if payload.search is None:
        return None
    columns = [column.at(split.train) for column in data.columns]
    values = data.target.values[split.train]
    report = progress.stage(FIT_START, _fit_start(payload), "Comparing models")
    return search_models(payload, payload.search, data, columns=columns, values=values, job=job, report=report)


def _fit_start(payload: TrainModel) -> float:
    if payload.search is not None:
        fits = payload.search.folds * min(combinations(payload.search), payload.search.most)
    else:
        fits = (payload.cross_validation_folds or 0) * payload.cross_validation_repeats
    return FIT_START + (FIT_END - FIT_START) * fits / (fits + 1)


def _validate(
    payload: TrainModel, problem: Problem, data: Dataset, parts: Parts, progress: Progress
) -> CrossValidation | None:
    folds = payload.cross_validation_folds
    if folds is None:
        return None
    check_folds(parts.train.values, data.target.classes, folds)
    report = progress.stage(FIT_START, _fit_start(payload), "Cross-validating")
    repeats = payload.cross_validation_repeats
    return cross_validate(problem, parts.train.columns, parts.train.values, folds=folds, repeats=repeats, report=report)


def _test(model: Model, parts: Parts, progress: Progress) -> Tested:
    train, test = parts.train, parts.test
    report = progress.stage(FIT_END, 92, "Weighing the columns")
    predictions = predict(model, test.matrix, test.values)
    return Tested(
        predictions=predictions,
        scores=score(predictions),
        baseline=baseline(model.problem, train.values, test.values),
        importances=weigh_columns(model, parts, report),
    )


def _export(
    job: JobHandle, model: Model, *, data: Dataset, parts: Parts, expected: Predictions, progress: Progress
) -> Agreement:
    progress.stage(92, 94, "Writing the ONNX model")
    classes, test = data.target.classes, parts.test
    file = to_onnx(model, parts.encoder, data.columns, target=data.target.name, classes=classes).SerializeToString()
    checking = progress.stage(94, 97, "Checking the ONNX model")
    agreement = check_export(file, model, test, expected, classes=classes, report=checking)
    job.artifact(MODEL_ARTIFACT, ONNX_TYPE).write_bytes(file)
    return agreement
