import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from sklearn.datasets import load_digits

from offload_shared.tasks.estimators import AnyEstimator
from offload_worker.handlers.training.dataset import Dataset
from offload_worker.handlers.training.export import to_onnx
from offload_worker.handlers.training.export_check import ModelMismatch, check_export, open_session
from offload_worker.handlers.training.fitting import fit
from offload_worker.handlers.training.models import Model, Problem
from offload_worker.handlers.training.parts import Parts, encode_parts
from offload_worker.handlers.training.scores import predict
from offload_worker.handlers.training.split import split_rows
from offload_worker.handlers.training.table import Column, NumberColumn, WordColumn
from tests.unit.train_model_tables import FEW_TREES, bundled, mixed, read, small, train

ESTIMATORS = [
    {"name": "linear"},
    {"name": "random-forest", "trees": 20},
    {"name": "extra-trees", "trees": 20, "max_depth": 6, "max_features": 0.5},
    {"name": "gradient-boosting", "trees": 15, "subsample": 0.7},
    {"name": "nearest-neighbours", "neighbours": 4},
]


def fitted(data: Dataset, wish: dict[str, Any]) -> tuple[Model, Parts, bytes]:
    """Train without the rest of the job, and return the ONNX file with what it was made from."""
    estimator: AnyEstimator = msgspec.convert(wish, AnyEstimator)
    problem = Problem(estimator, data.target.kind, len(data.target.classes), seed=0)
    parts = encode_parts(problem, data, split_rows(data.target, 0.25, seed=0))
    model = fit(problem, parts.train.matrix, parts.train.values, lambda _share, _detail: None)
    file = to_onnx(model, parts.encoder, data.columns, target=data.target.name, classes=data.target.classes)
    onnx.checker.check_model(file, full_check=True)
    return model, parts, file.SerializeToString()


def unseen(columns: tuple[Column, ...]) -> list[Column]:
    """Return rows that training had nothing like: unknown words, nothing but gaps, and far numbers."""
    return [
        NumberColumn(column.name, np.array([np.nan, -1e9, 1e9], np.float32))
        if isinstance(column, NumberColumn)
        else WordColumn(column.name, np.array([0, 1, 2], np.int32), ("", "never seen", "新しい"))
        for column in columns
    ]


def inputs(columns: list[Column]) -> dict[str, Any]:
    """Return what a client passes who only knows the names and types of the inputs."""
    return {
        column.name: column.values.reshape(-1, 1)
        if isinstance(column, NumberColumn)
        else np.array([[column.words[code]] for code in column.codes], object)
        for column in columns
    }


@pytest.mark.parametrize("wish", ESTIMATORS, ids=lambda wish: str(wish["name"]))
@pytest.mark.parametrize(("target", "classes"), [("target", 2), ("plan", 2), ("postcode", 7), ("age", 0)])
def test_onnx_predicts_what_scikit_learn_does(tmp_path: Path, wish: dict[str, Any], target: str, classes: int) -> None:
    data = read(tmp_path, mixed(), target=target)
    model, parts, file = fitted(data, wish)
    rows = unseen(data.columns)

    outputs = open_session(file).run(None, inputs(rows))

    matrix = parts.encoder.encode(rows)
    assert classes == len(data.target.classes)
    if classes:
        labels = [data.target.classes[place] for place in model.predict(matrix)]
        assert labels == outputs[0].tolist()
        assert np.allclose(model.probabilities(matrix), outputs[1], atol=1e-5)
    else:
        assert np.allclose(model.predict(matrix), outputs[0], rtol=1e-5)


def test_a_client_reaches_the_reported_accuracy_with_the_file_alone(tmp_path: Path) -> None:
    result, _ = train(tmp_path, bundled("digits"), estimator={"name": "random-forest", "trees": 50})
    digits = load_digits()
    session = open_session((tmp_path / "model.onnx").read_bytes())

    cells = dict(zip(digits.feature_names, digits.data.T.astype(np.float32), strict=True))
    label, probabilities = session.run(
        ["label", "probabilities"], {wanted.name: cells[wanted.name].reshape(-1, 1) for wanted in session.get_inputs()}
    )

    # Four fifths of these rows are those it was trained on.
    assert np.mean(label == digits.target.astype(str)) > 0.98
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert 360 == result.model_checked_rows
    assert result.model_largest_difference is not None
    assert result.model_largest_difference < 1e-5


def test_the_file_says_what_it_is(tmp_path: Path) -> None:
    train(tmp_path, mixed(), estimator=FEW_TREES)

    file = onnx.load(tmp_path / "model.onnx")

    said = {entry.key: entry.value for entry in file.metadata_props}
    assert ("classification", "target") == (said["kind"], said["target"])
    assert ["age", "income", "town", "plan", "postcode"] == json.loads(said["features"])
    assert ["leaves", "stays"] == json.loads(said["classes"])
    assert 5 == json.loads(said["estimator"])["trees"]
    float_type, string_type = onnx.TensorProto.FLOAT, onnx.TensorProto.STRING
    types = {value.name: value.type.tensor_type.elem_type for value in file.graph.input}
    assert {
        "age": float_type,
        "income": float_type,
        "town": string_type,
        "plan": string_type,
        "postcode": float_type,
    } == types


def test_columns_may_be_named_like_outputs_and_operators(tmp_path: Path) -> None:
    names = ["label", "probabilities", "offload/0/Concat", "größe (cm) $x$", "target"]
    table = small(lambda place: [place % 7, place % 5, place % 3, place % 11, f"k{place % 2}"], header=names)

    train(tmp_path, table, estimator=FEW_TREES)

    session = open_session((tmp_path / "model.onnx").read_bytes())
    assert names[:-1] == [wanted.name for wanted in session.get_inputs()]
    assert ["label_", "probabilities_"] == [given.name for given in session.get_outputs()]


def test_numbers_next_to_each_other_in_32_bits_fall_to_the_same_side(tmp_path: Path) -> None:
    chain = np.float32(1000) + np.arange(60, dtype=np.float32) * np.spacing(np.float32(1000))
    data = read(tmp_path, small(lambda place: [repr(float(chain[place])), "x", f"k{place % 3 % 2}"], rows=60))
    model, parts, file = fitted(data, {"name": "random-forest", "trees": 40})

    label, _ = open_session(file).run(None, inputs(list(data.columns)))

    expected = model.predict(parts.encoder.encode(data.columns))
    assert [data.target.classes[place] for place in expected] == label.tolist()


def test_thousands_of_trees_lose_no_digits(tmp_path: Path) -> None:
    wish = {"name": "gradient-boosting", "trees": 1000, "max_depth": 1, "learning_rate": 0.02}

    result, _ = train(tmp_path, mixed(), estimator=wish)

    assert result.model_largest_difference is not None
    assert result.model_largest_difference < 3e-7  # a single 32-bit sum is off by more


@pytest.mark.parametrize("wish", [ESTIMATORS[0], ESTIMATORS[4]], ids=["linear", "nearest-neighbours"])
def test_a_large_offset_does_not_cost_precision(tmp_path: Path, wish: dict[str, Any]) -> None:
    def row(place: int) -> list[object]:
        return [1_700_000_000 + place * 86_400, place % 13, 1e6 + place % 13 + place / 50]

    result, _ = train(tmp_path, small(row, rows=300), estimator=wish)

    assert result.model_largest_difference is not None
    assert result.model_largest_difference < 1e-4


def test_rows_at_the_same_distance_are_no_mismatch(tmp_path: Path) -> None:
    def row(place: int) -> list[object]:
        return ["ab"[place % 2], "xyz"[place % 3], (place * 7919) % 5 % 2]

    result, _ = train(tmp_path, small(row, rows=200), estimator={"name": "nearest-neighbours", "neighbours": 3})

    assert result.model_checked_rows < result.rows.test


@pytest.mark.parametrize("target", ["target", "age"])
def test_a_model_that_says_something_else_is_never_stored(tmp_path: Path, target: str) -> None:
    data = read(tmp_path, mixed(), target=target)
    model, parts, file = fitted(data, {"name": "random-forest", "trees": 3})
    broken = onnx.load_from_string(file)
    trees = next(node for node in broken.graph.node if node.op_type == "TreeEnsembleRegressor")
    weights = next(attribute for attribute in trees.attribute if attribute.name == "target_weights")
    weights.floats[:] = [weight * 1.2 for weight in weights.floats]

    expected = predict(model, parts.test.matrix, parts.test.values)

    def check(content: bytes) -> int:
        classes = data.target.classes
        return check_export(content, model, parts.test, expected, classes=classes, report=lambda *_: None).rows

    assert len(parts.test.values) == check(file)
    with pytest.raises(ModelMismatch):
        check(broken.SerializeToString())
