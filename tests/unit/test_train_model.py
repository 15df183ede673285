import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from sklearn.datasets import load_digits, load_iris
from sklearn.ensemble import RandomForestClassifier

from offload_shared.tasks.estimators import RandomForest
from offload_shared.tasks.train_model import ClassificationScores, Kind, RegressionScores, TrainModelResult
from offload_worker.handlers.training.fitting import fit
from offload_worker.handlers.training.models import Problem
from tests.unit.train_model_tables import FEW_TREES, bundled, mixed, small, train, usual

LINEAR, NEAREST = {"name": "linear"}, {"name": "nearest-neighbours"}
FOREST, EXTRA = {"name": "random-forest", "trees": 60}, {"name": "extra-trees", "trees": 60}
BOOSTING = {"name": "gradient-boosting", "trees": 30}


@pytest.mark.parametrize(
    ("name", "estimator", "least"),
    [
        ("breast_cancer", LINEAR, 0.95),
        ("breast_cancer", BOOSTING, 0.92),
        ("digits", FOREST, 0.95),
        ("wine", NEAREST, 0.9),
        ("wine", LINEAR, 0.95),
        ("wine", FOREST, 0.9),
        ("iris", EXTRA, 0.9),
        ("iris", BOOSTING, 0.9),
    ],
)
def test_real_classes_are_learnt(tmp_path: Path, name: str, estimator: dict[str, Any], least: float) -> None:
    result, _ = train(tmp_path, bundled(name), estimator=estimator)

    assert isinstance(result.scores, ClassificationScores)
    assert result.scores.accuracy is not None
    assert result.scores.accuracy >= least
    assert result.scores.roc_auc is not None
    assert result.scores.roc_auc >= least


@pytest.mark.parametrize("estimator", [LINEAR, FOREST, EXTRA, BOOSTING, NEAREST])
def test_real_numbers_are_learnt_better_than_by_their_mean(tmp_path: Path, estimator: dict[str, Any]) -> None:
    result, _ = train(tmp_path, bundled("diabetes"), estimator=estimator, seed=2)

    assert Kind.REGRESSION == result.kind
    assert isinstance(result.scores, RegressionScores)
    assert isinstance(result.baseline.scores, RegressionScores)
    assert result.scores.r2 is not None
    assert result.scores.r2 > 0.25
    assert result.baseline.scores.r2 is not None
    assert result.baseline.scores.r2 < 0.05
    assert result.scores.rmse is not None
    assert result.baseline.scores.rmse is not None
    assert result.scores.rmse < result.baseline.scores.rmse


def test_cross_validation_agrees_with_the_test_rows(tmp_path: Path) -> None:
    result, _ = train(tmp_path, bundled("iris"), estimator=LINEAR, cross_validation_folds=5, cross_validation_repeats=2)

    assert result.cross_validation is not None
    assert (5, 2) == (result.cross_validation.folds, result.cross_validation.repeats)
    mean, std = result.cross_validation.mean, result.cross_validation.std
    assert isinstance(mean, ClassificationScores)
    assert isinstance(std, ClassificationScores)
    assert isinstance(result.scores, ClassificationScores)
    assert mean.accuracy == pytest.approx(result.scores.accuracy, abs=0.06)
    assert std.accuracy is not None
    assert 0 < std.accuracy < 0.1


def test_the_same_seed_gives_the_same_model_and_another_one_another(tmp_path: Path) -> None:
    def run(folder: str, seed: int) -> tuple[TrainModelResult, bytes]:
        (tmp_path / folder).mkdir()
        wishes = {"estimator": {**FOREST, "trees": 10}, "cross_validation_folds": 2, "seed": seed}
        result, _ = train(tmp_path / folder, mixed(), **wishes)
        return msgspec.structs.replace(result, duration_seconds=0.0), (tmp_path / folder / "model.onnx").read_bytes()

    first, again, other = run("first", 1), run("again", 1), run("other", 2)

    assert first == again
    assert first[1] != other[1]


def test_trees_grown_in_steps_are_those_grown_at_once() -> None:
    matrix, classes = load_digits(return_X_y=True)
    problem = Problem(RandomForest(trees=30), Kind.CLASSIFICATION, 10, seed=3)

    model = fit(problem, matrix.astype(np.float32), classes, lambda _share, _detail: None)

    at_once = RandomForestClassifier(30, random_state=3).fit(matrix, classes)
    assert np.array_equal(at_once.predict_proba(matrix), model.probabilities(matrix.astype(np.float32)))


def test_progress_follows_the_trees_and_never_goes_back(tmp_path: Path) -> None:
    _, job = train(tmp_path, bundled("digits"), estimator={**FOREST, "trees": 60}, cross_validation_folds=3)

    percents = [percent for percent, _ in job.reports]
    assert sorted(percents) == percents
    assert (100.0, "Done") == job.reports[-1]
    assert max(np.diff(percents)) < 21
    messages = [message for _, message in job.reports]
    assert "Cross-validating: fold 2 of 3, 60 of 60 trees" in messages
    assert "Training: 60 of 60 trees" in messages


def test_a_result_survives_json(tmp_path: Path) -> None:
    result, _ = train(tmp_path, mixed(), estimator=FEW_TREES, cross_validation_folds=2)

    assert result == msgspec.json.decode(msgspec.json.encode(result), type=TrainModelResult)


def test_what_is_not_defined_is_null(tmp_path: Path) -> None:
    table = small(lambda place: [place**2, "xyz"[place % 3], place * 1.7], rows=10)

    result, _ = train(tmp_path, table, test_share=0.05, estimator=NEAREST)

    body = json.loads(msgspec.json.encode(result), parse_constant=pytest.fail)
    assert 1 == body["rows"]["test"]
    assert body["scores"]["r2"] is None
    assert body["importances"]["columns"][0]["importance"] is None


def test_a_class_that_has_no_test_row_has_no_recall(tmp_path: Path) -> None:
    table = small(lambda place: [place**2, "xyz"[place % 3], f"class {place // 2}"], rows=100)

    result, _ = train(tmp_path, table, estimator=FEW_TREES)

    assert not result.stratified
    assert result.classes is not None
    assert 50 == len(result.classes)
    assert {None} == {report.recall for report in result.classes if report.support == 0}
    assert {None} == {report.roc_auc for report in result.classes if report.support == 0}


def test_the_artifacts_are_an_onnx_model_and_a_picture(tmp_path: Path) -> None:
    result, job = train(tmp_path, bundled("iris"), estimator=FEW_TREES)

    assert {"model.onnx": "application/octet-stream", "metrics.png": "image/png"} == job.artifacts
    assert job.artifacts.keys() == {result.model_artifact, result.plot_artifact}
    assert (tmp_path / "metrics.png").read_bytes().startswith(b"\x89PNG")


def test_the_confusion_matrix_and_the_reports_count_every_test_row(tmp_path: Path) -> None:
    result, _ = train(tmp_path, bundled("iris"), estimator=FEW_TREES)

    assert result.confusion_matrix is not None
    assert result.classes is not None
    assert tuple(load_iris().target_names) == result.confusion_matrix.labels
    assert [10, 10, 10] == [sum(row) for row in result.confusion_matrix.counts]
    assert [10, 10, 10] == [report.support for report in result.classes]
    assert result.stratified


def test_the_baseline_is_the_share_of_the_most_frequent_class(tmp_path: Path) -> None:
    table = small(lambda place: [place * 1.5, "xyz"[place % 3], "rare" if place % 4 == 0 else "frequent"])

    result, _ = train(tmp_path, table, estimator=FEW_TREES, test_share=0.5)

    assert isinstance(result.baseline.scores, ClassificationScores)
    assert (0.75, 0.5, 0.5) == (
        result.baseline.scores.accuracy,
        result.baseline.scores.balanced_accuracy,
        result.baseline.scores.roc_auc,
    )


def test_balanced_training_finds_more_of_a_rare_class(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    rare = draw.random(600) < 0.08
    values = draw.normal(size=600) + rare
    table = small(lambda place: [f"{values[place]:.4f}", "x", "rare" if rare[place] else "usual"], rows=600)

    recalls = {}
    for balanced in (False, True):
        result, _ = train(tmp_path, table, estimator={"name": "linear", "balanced": balanced}, test_share=0.5)
        assert result.classes is not None
        recalls[balanced] = result.classes[0].recall or 0.0

    assert recalls[True] > recalls[False] + 0.3


def test_logistic_regression_that_has_not_settled_is_noted(tmp_path: Path) -> None:
    wish = {"name": "linear", "max_iterations": 10, "regularization": 1e-6}

    result, _ = train(tmp_path, bundled("digits"), estimator=wish)

    assert "had not settled after 10 iterations" in result.notes[0]


@pytest.mark.parametrize(
    ("estimator", "method"),
    [(LINEAR, "coefficients"), (FOREST, "impurity"), (BOOSTING, "impurity"), (NEAREST, "permutation")],
)
def test_importances_name_the_columns_of_the_table(tmp_path: Path, estimator: dict[str, Any], method: str) -> None:
    result, _ = train(tmp_path, mixed(), estimator=estimator)

    assert method == result.importances.method
    assert {"age", "income", "town", "plan", "postcode"} == {entry.column for entry in result.importances.columns}
    assert result.importances.columns[0].column in {"age", "income"}


def test_rows_without_a_target_are_counted_and_left_out(tmp_path: Path) -> None:
    table = small(lambda place: [*usual(place)[:2], "" if place < 5 else place % 2])

    result, _ = train(tmp_path, table, estimator=FEW_TREES)

    rows = result.rows
    assert (40, 5, 35, 28, 7) == (rows.read, rows.dropped, rows.used, rows.train, rows.test)
