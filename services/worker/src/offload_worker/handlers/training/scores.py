"""How good predictions are; what is not defined on the rows at hand is None, never NaN."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    mean_absolute_error,
    precision_recall_fscore_support,
    r2_score,
    recall_score,
    roc_auc_score,
    root_mean_squared_error,
)

from offload_shared.tasks.train_model import (
    Baseline,
    ClassificationScores,
    ClassReport,
    ConfusionMatrix,
    RegressionScores,
    Scores,
)
from offload_worker.handlers.training.encoder import Matrix
from offload_worker.handlers.training.models import Model, Problem, Values


@dataclass(frozen=True, slots=True)
class Predictions:
    """What was predicted for some rows, beside what is true of them."""

    truth: Values
    predicted: Values
    probabilities: NDArray[np.float64] | None  # shape (rows, classes); None for regression

    def auc(self, label: int) -> float | None:
        """Return the area under the ROC curve of one class against the rest."""
        if self.probabilities is None or len(np.unique(self.truth == label)) < 2:
            return None
        return finite(roc_auc_score(self.truth == label, self.probabilities[:, label]))


def predict(model: Model, matrix: Matrix, truth: Values) -> Predictions:
    """Return the model's predictions for the rows of `matrix`."""
    if not model.problem.is_classification:
        return Predictions(truth, model.predict(matrix), None)
    probabilities = model.probabilities(matrix)
    # What `model.predict` says, without computing it all again; with nearest neighbours that is minutes.
    return Predictions(truth, probabilities.argmax(axis=1), probabilities)


def score(predictions: Predictions) -> Scores:
    """Return the scores of predictions, whichever kind they are."""
    if predictions.probabilities is None:
        return _regression(predictions)
    return _classification(predictions, predictions.probabilities.shape[1])


def baseline(problem: Problem, learnt: Values, truth: Values) -> Baseline:
    """Return what predicting the same for every row reaches, learnt from the target of the training rows."""
    nothing, rows = np.zeros((len(learnt), 1), np.float32), np.zeros((len(truth), 1), np.float32)
    dummy = DummyClassifier(strategy="most_frequent") if problem.is_classification else DummyRegressor(strategy="mean")
    model = Model(problem, dummy.fit(nothing, learnt), (nothing, learnt))
    scores = score(predict(model, rows, truth))
    return Baseline(strategy="most frequent class" if problem.is_classification else "mean", scores=scores)


def class_reports(predictions: Predictions, classes: Sequence[str]) -> tuple[ClassReport, ...]:
    """Return precision, recall and the like of each class."""
    labels = range(len(classes))
    columns = precision_recall_fscore_support(
        predictions.truth, predictions.predicted, labels=labels, zero_division=0.0
    )
    return tuple(
        ClassReport(
            label=classes[label],
            precision=finite(precision),
            recall=finite(recall) if support else None,
            f1=finite(f1),
            roc_auc=predictions.auc(label),
            support=int(support),
        )
        for label, precision, recall, f1, support in zip(labels, *columns, strict=True)
    )


def confusion(predictions: Predictions, classes: Sequence[str]) -> ConfusionMatrix:
    """Return how often each class was taken for each."""
    counts = confusion_matrix(predictions.truth, predictions.predicted, labels=range(len(classes)))
    return ConfusionMatrix(labels=tuple(classes), counts=tuple(tuple(map(int, row)) for row in counts))


def mean_and_std(scores: Sequence[Scores]) -> tuple[Scores, Scores]:
    """Return the mean and the standard deviation of each score, over those that are defined."""
    kind = type(scores[0])
    means, deviations = {}, {}
    for name in kind.__struct_fields__:
        values = [value for entry in scores if (value := getattr(entry, name)) is not None]
        means[name] = finite(np.mean(values)) if values else None
        deviations[name] = finite(np.std(values)) if values else None
    return kind(**means), kind(**deviations)


def finite(number: float | np.floating) -> float | None:
    """Return the number, or None when JSON has no word for it."""
    return float(number) if math.isfinite(number) else None


def _classification(predictions: Predictions, classes: int) -> ClassificationScores:
    truth, predicted = predictions.truth, predictions.predicted
    areas = [predictions.auc(label) for label in ([1] if classes == 2 else range(classes))]
    defined = [area for area in areas if area is not None]
    return ClassificationScores(
        accuracy=finite(accuracy_score(truth, predicted)),
        balanced_accuracy=finite(
            recall_score(truth, predicted, labels=np.unique(truth), average="macro", zero_division=0.0)
        ),
        f1_macro=finite(f1_score(truth, predicted, average="macro", zero_division=0.0)),
        f1_weighted=finite(f1_score(truth, predicted, average="weighted", zero_division=0.0)),
        roc_auc=finite(np.mean(defined)) if defined else None,
    )


def _regression(predictions: Predictions) -> RegressionScores:
    truth, predicted = predictions.truth, predictions.predicted
    return RegressionScores(
        r2=finite(r2_score(truth, predicted)) if len(truth) > 1 else None,
        mae=finite(mean_absolute_error(truth, predicted)),
        rmse=finite(root_mean_squared_error(truth, predicted)),
    )
