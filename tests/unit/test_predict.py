"""`predict` on real models and tables: what it answers agrees with what the model says."""

import csv
import io
import json
import tracemalloc
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pyarrow as arrow
import pytest
from onnx import TensorProto, helper, numpy_helper
from pyarrow import parquet

from offload_shared.tasks.predict import Predict, PredictResult
from offload_testing.job import FakeJob
from offload_worker.handle import JobRejected
from offload_worker.handlers import predict as handler
from offload_worker.handlers.prediction.model import ModelCache
from tests.unit.train_model_tables import bundled, mixed, train, write_csv

MODEL, DATA = "a" * 32, "b" * 32
TRAINED = {"job": "0" * 32, "name": "model.onnx"}


@pytest.fixture(autouse=True)
def _no_model_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handler, "_models", ModelCache())


def predict(job: FakeJob, **wishes: Any) -> PredictResult:
    body = msgspec.json.encode({"model": MODEL, **wishes})
    return handler.predict(msgspec.json.decode(body, type=Predict), job)


def given(folder: Path, model: onnx.ModelProto | bytes, data: bytes = b"") -> FakeJob:
    job = FakeJob(folder)
    job.upload(MODEL, model if isinstance(model, bytes) else model.SerializeToString())
    job.upload(DATA, data)
    return job


def trained(folder: Path, table: bytes, **wishes: Any) -> FakeJob:
    """A job that may predict with a model trained on `table`, which is its data too."""
    _, job = train(folder, table, **wishes)
    (folder / "model.onnx").rename(folder / f"{TRAINED['job']}-model.onnx")
    job.upload(DATA, table)
    return job


def rows_of(table: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(table.decode())))


def foreign(
    nodes: list[onnx.NodeProto],
    inputs: dict[str, tuple[int, list[Any]]],
    outputs: dict[str, tuple[int, list[Any]]],
    initializers: tuple[onnx.TensorProto, ...] = (),
    domains: tuple[str, ...] = ("",),
) -> onnx.ModelProto:
    """A model that is not ours."""
    taken, answered = (
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in each.items()]
        for each in (inputs, outputs)
    )
    graph = helper.make_graph(nodes, "foreign", taken, answered, initializer=list(initializers))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid(each, 18) for each in domains], ir_version=8)


def summing(columns: list[Any], kind: int = TensorProto.FLOAT, rows: Any = "N") -> onnx.ModelProto:
    """Adds up the columns of one matrix."""
    axes = numpy_helper.from_array(np.array([1], np.int64), "axes")
    node = helper.make_node("ReduceSum", ["x", "axes"], ["sum"], keepdims=0)
    return foreign([node], {"x": (kind, [rows, *columns])}, {"sum": (kind, [rows])}, (axes,))


@pytest.mark.parametrize("name", ["iris", "breast_cancer"])
def test_classes_are_predicted_as_well_as_training_has_measured(tmp_path: Path, name: str) -> None:
    table = bundled(name)
    job = trained(tmp_path, table)

    result = predict(job, model=TRAINED, data=DATA, keep=["target"])

    found = rows_of((tmp_path / "predictions.csv").read_bytes())
    assert len(rows_of(table)) == result.rows == len(found)
    assert "target" == result.target
    assert result.classes
    assert ("target", "prediction", *(f"probability {each}" for each in result.classes)) == result.columns
    right = [row["target"] == row["prediction"] for row in found]
    assert sum(right) / len(right) > 0.97
    shares = [[float(row[f"probability {each}"]) for each in result.classes] for row in found]
    assert np.allclose(np.sum(shares, axis=1), 1, atol=1e-5)
    assert [row["prediction"] for row in found] == [result.classes[place] for place in np.argmax(shares, axis=1)]
    assert {"predictions.csv": "text/csv"}.items() <= job.artifacts.items()


def test_numbers_are_predicted(tmp_path: Path) -> None:
    table = bundled("diabetes")
    job = trained(tmp_path, table)

    result = predict(job, model=TRAINED, data=DATA, keep=["target"])

    found = rows_of((tmp_path / "predictions.csv").read_bytes())
    assert result.classes is None
    assert ("target", "prediction") == result.columns
    pairs = np.array([[float(row["target"]), float(row["prediction"])] for row in found])
    assert np.corrcoef(pairs.T)[0, 1] > 0.9


def test_rows_inline_are_answered_inline_as_those_of_a_file_are(tmp_path: Path) -> None:
    table = mixed(60)
    job = trained(tmp_path, table, estimator={"name": "linear"})
    rows = [{name: cell or None for name, cell in row.items()} for row in rows_of(table)]
    for row in rows:
        row["age"] = float(row["age"] or "nan")  # type: ignore[assignment]

    inline = predict(job, model=TRAINED, rows=rows, keep=["id"])
    predict(job, model=TRAINED, data=DATA)

    assert inline.predictions
    assert inline.artifact is None
    found = rows_of((tmp_path / "predictions.csv").read_bytes())
    assert [row["prediction"] for row in found] == [each.prediction for each in inline.predictions]
    assert [{"id": row["id"]} for row in rows] == [each.kept for each in inline.predictions]


def test_a_parquet_file_is_read_and_written(tmp_path: Path) -> None:
    table = bundled("iris")
    job = trained(tmp_path, table)
    rows = rows_of(table)
    columns = {name: [row[name] if name == "target" else float(row[name]) for row in rows] for name in rows[0]}
    parquet.write_table(arrow.table(columns), tmp_path / DATA, row_group_size=40)

    result = predict(job, model=TRAINED, data=DATA, output="parquet", keep=["target"])

    found = parquet.read_table(tmp_path / "predictions.parquet")
    assert list(result.columns or ()) == found.column_names
    right = [row["target"] == row["prediction"] for row in found.to_pylist()]
    assert sum(right) / len(right) > 0.97
    assert "double" == str(found.schema.field(found.column_names[-1]).type)


def test_a_file_of_any_size_takes_little_memory(tmp_path: Path) -> None:
    rows = 100_000
    job = given(tmp_path, summing([3]), write_csv("abc", ((place, 1, 2) for place in range(rows))))

    tracemalloc.start()
    result = predict(job, data=DATA)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert rows == result.rows
    found = (tmp_path / "predictions.csv").read_text().split()
    assert ["3.0", f"{rows + 2:.1f}"] == [found[1], found[-1]]
    assert peak < 12_000_000
    assert [percent for percent, _ in job.reports] == sorted(percent for percent, _ in job.reports)


def test_the_next_job_finds_the_model_loaded(tmp_path: Path) -> None:
    job = given(tmp_path, summing([1]))

    for _ in range(2):
        predict(job, rows=[{"a": 1}])
    job.upload(MODEL, summing([2]).SerializeToString())
    predict(job, rows=[{"a": 1, "b": 2}])

    assert [False, True, False] == ["already" in line for line in job.lines]


def test_only_so_much_of_models_stays_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = summing([1]).SerializeToString(), summing([1], TensorProto.DOUBLE).SerializeToString()
    monkeypatch.setattr(handler, "_models", ModelCache(most_bytes=len(one) + len(other) - 1))
    job = given(tmp_path, one)

    for content in (one, other, one):
        job.upload(MODEL, content)
        predict(job, rows=[{"a": 1}])

    assert not any("already" in line for line in job.lines)


@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64])
def test_a_foreign_model_takes_a_matrix_of_all_columns_but_those_kept(tmp_path: Path, kind: int) -> None:
    job = given(tmp_path, summing([2], kind))

    result = predict(job, rows=[{"id": "x", "a": 1, "b": 2}, {"id": "y", "a": 3, "b": 4}], keep=["id"])

    assert result.predictions
    assert [3, 7] == [float(each.prediction or 0) for each in result.predictions]


def test_a_foreign_model_that_takes_one_row_at_a_time_is_given_one_at_a_time(tmp_path: Path) -> None:
    job = given(tmp_path, summing([2], rows=1))

    result = predict(job, rows=[{"a": 1, "b": 2}, {"a": 3, "b": 4}])

    assert result.predictions
    assert [3.0, 7.0] == [each.prediction for each in result.predictions]


def test_scores_of_a_network_name_the_class_with_the_highest(tmp_path: Path) -> None:
    model = foreign(
        [helper.make_node("Softmax", ["x"], ["y"])],
        {"x": (TensorProto.FLOAT, ["N", 3])},
        {"y": (TensorProto.FLOAT, ["N", 3])},
    )

    result = predict(given(tmp_path, model), rows=[{"a": 0, "b": 9, "c": 0}])

    assert ("0", "1", "2") == result.classes
    assert result.predictions
    assert "1" == result.predictions[0].prediction


def test_probabilities_that_come_as_mappings_are_understood(tmp_path: Path) -> None:
    zipped = helper.make_node("ZipMap", ["p"], ["z"], domain="ai.onnx.ml", classlabels_strings=["no", "yes"])
    label = helper.make_node("ArgMax", ["p"], ["label"], axis=1, keepdims=0)
    graph = helper.make_graph(
        [helper.make_node("Softmax", ["x"], ["p"]), label, zipped],
        "mapped",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, [None]),
            helper.make_value_info(
                "z", helper.make_sequence_type_proto(helper.make_map_type_proto(TensorProto.STRING, _float_type()))
            ),
        ],
    )
    sets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=sets, ir_version=8)

    result = predict(given(tmp_path, model), rows=[{"a": 0, "b": 0}])

    assert ("no", "yes") == result.classes
    assert result.predictions
    assert (0.5, 0.5) == result.predictions[0].probabilities


def _float_type() -> onnx.TypeProto:
    return helper.make_tensor_type_proto(TensorProto.FLOAT, [])


def test_missing_and_odd_cells_are_missing_values(tmp_path: Path) -> None:
    job = given(tmp_path, summing([1]), b"a;b\n1,5;x\n;x\nn/a;x\nwhat;x\n")

    predict(job, data=DATA, keep=["b"])

    found = rows_of((tmp_path / "predictions.csv").read_bytes())
    assert ["1.5", "", "", ""] == [row["prediction"] for row in found]


def refusal(job: FakeJob, **wishes: Any) -> str:
    with pytest.raises(JobRejected) as refused:
        predict(job, **wishes)
    return str(refused.value)


ROWS = [{"a": 1.0}]


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"\x80\x04K\x01.", b"\x08\x08\x12" + b"\xff" * 50, b"PK\x03\x04zip"]
)
def test_what_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    assert "not an ONNX file" in refusal(given(tmp_path, content), rows=ROWS)


def test_a_truncated_model_is_refused(tmp_path: Path) -> None:
    content = summing([1]).SerializeToString()

    for length in range(1, len(content), 7):
        assert "The model" in refusal(given(tmp_path, content[:length]), rows=ROWS)


def test_a_model_that_reaches_for_another_file_is_refused_wherever_it_does(tmp_path: Path) -> None:
    outside = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    outside.external_data.add(key="location", value="/etc/passwd")
    plain = summing([1])
    plain.graph.initializer.append(outside)
    inner = helper.make_graph(
        [helper.make_node("Constant", [], ["c"], value=outside)],
        "inner",
        [],
        [helper.make_tensor_value_info("c", TensorProto.FLOAT, [1])],
    )
    nested = foreign(
        [helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner)],
        {"x": (TensorProto.BOOL, [1])},
        {"y": (TensorProto.FLOAT, [1])},
    )

    for model in (plain, nested):
        assert "'w' in another file" in refusal(given(tmp_path, model), rows=ROWS)


def test_operators_of_others_are_refused(tmp_path: Path) -> None:
    values: tuple[Any, Any] = {"x": (TensorProto.FLOAT, ["N", 1])}, {"y": (TensorProto.FLOAT, ["N", 1])}
    model = foreign([helper.make_node("Shell", ["x"], ["y"], domain="evil.com")], *values, domains=("", "evil.com"))
    unknown = foreign([helper.make_node("Shell", ["x"], ["y"])], *values)

    assert "operators of 'evil.com'" in refusal(given(tmp_path, model), rows=ROWS)
    assert "cannot be loaded" in refusal(given(tmp_path, unknown), rows=ROWS)


def test_a_future_version_of_onnx_is_refused_in_the_runtimes_words(tmp_path: Path) -> None:
    model = summing([1])
    model.opset_import[0].version = 999

    assert "cannot be loaded" in refusal(given(tmp_path, model), rows=ROWS)


def test_inputs_that_are_no_rows_of_a_table_are_named(tmp_path: Path) -> None:
    image = foreign(
        [helper.make_node("Identity", ["pixels"], ["y"])],
        {"pixels": (TensorProto.FLOAT, ["N", 3, 8, 8])},
        {"y": (TensorProto.FLOAT, ["N", 3, 8, 8])},
    )

    told = refusal(given(tmp_path, image), rows=ROWS)

    assert "'pixels'" in told
    assert "(N, 3, 8, 8)" in told


def test_a_model_that_answers_with_something_else_than_a_row_each_is_refused(tmp_path: Path) -> None:
    node = helper.make_node("ReduceMean", ["x"], ["y"], keepdims=0)
    model = foreign([node], {"x": (TensorProto.FLOAT, ["N", 1])}, {"y": (TensorProto.FLOAT, [])})

    assert "one prediction for each row" in refusal(given(tmp_path, model), rows=ROWS)


def test_columns_that_the_model_needs_are_named_with_what_is_near(tmp_path: Path) -> None:
    job = trained(tmp_path, bundled("iris"))

    told = refusal(job, model=TRAINED, rows=[{"sepal lenght (cm)": 1, "sepal width (cm)": 1, "petal length (cm)": 1}])
    assert "sepal length (cm)" in told

    wrong = given(tmp_path, summing([3]))
    assert "takes 3 columns" in refusal(wrong, rows=ROWS)
    assert "did you mean 'a'" in refusal(wrong, rows=ROWS, keep=["A"])


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "empty"),
        (b"a\n", "no rows"),
        (b"x,b\n1,2\n3\n", "Line 3 has 1 cells"),
        (b"PAR1" + b"\0" * 100, "Parquet file cannot be read"),
        (b"a\n" + b"1" * 2_000_000, "longer than"),
        (b"%PDF-1.7", "a PDF"),
    ],
)
def test_bad_data_is_refused_with_what_is_wrong(tmp_path: Path, data: bytes, told: str) -> None:
    assert told in refusal(given(tmp_path, summing([1]), data), data=DATA)


def test_whole_numbers_are_asked_for_where_the_model_takes_them(tmp_path: Path) -> None:
    job = given(tmp_path, summing([1], TensorProto.INT64))

    assert "Row 2 has no value in the column 'a'" in refusal(job, rows=[{"a": 1}, {"a": None}])
    assert "Row 1 has '1.5'" in refusal(job, rows=[{"a": 1.5}])


def test_more_rows_than_can_be_answered_inline_are_refused_before_they_are_predicted(tmp_path: Path) -> None:
    job = given(tmp_path, summing([1]), write_csv("a", ([place] for place in range(1001))))

    assert "most answered inline" in refusal(job, data=DATA, output="inline")


@pytest.mark.parametrize(
    ("wishes", "told"),
    [
        ({}, "either"),
        ({"rows": ROWS, "data": DATA}, "either"),
        ({"rows": []}, "length"),
        ({"rows": ROWS, "delimiter": ";"}, "of a file"),
        ({"data": DATA, "keep": ["a", "a"]}, "twice"),
        ({"rows": [{"a": [1]}]}, "Expected"),
        ({"data": "../../etc/passwd"}, "Expected"),
    ],
)
def test_contradicting_wishes_are_refused_at_submit(wishes: dict[str, Any], told: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=told):
        msgspec.json.decode(json.dumps({"model": MODEL, **wishes}), type=Predict)
