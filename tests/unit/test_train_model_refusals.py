import gzip
import random
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from offload_worker.handle import JobRejected
from offload_worker.handlers.tables import records
from offload_worker.handlers.training import encoder, fitting
from tests.unit.train_model_tables import FEW_TREES, mixed, small, train, usual, write_csv

JUNK = random.Random(0).randbytes(20_000)


def refusal(folder: Path, table: bytes, **wishes: Any) -> str:
    """Return the sentence that the client reads."""
    with pytest.raises(JobRejected) as refused:
        train(folder, table, **{"estimator": FEW_TREES, **wishes})
    sentence = str(refused.value)
    assert "\n" not in sentence
    assert len(sentence) < 400
    return sentence


def with_target(values: Any, rows: int = 40) -> bytes:
    """Return a table whose target is `values` of 0, 1, 2 and so on."""
    return small(lambda place: [*usual(place)[:2], values(place)], rows=rows)


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        (b"", "The file is empty."),
        (b" \r\n\n", "The file is empty."),
        (b"\xef\xbb\xbf", "The file is empty."),
        (b"a,b,target", "The table has a header and no rows."),
        (b"a,b,target\n\n\n", "The table has a header and no rows."),
        (b"\x89PNG\r\n\x1a\n" + JUNK, "The file is not a CSV table but a PNG image."),
        (b"PK\x03\x04" + JUNK, "a zip archive or an Excel workbook; export the sheet as CSV"),
        (gzip.compress(small(usual)), "compressed with gzip; unpack it"),
        (b"  <!DOCTYPE html><html></html>", "a web page"),
        (b'{"a": 1}', "JSON; convert it to CSV"),
        (JUNK, "The file is binary, not a CSV table."),
        (bytes(byte for byte in JUNK if byte > 31), "neither utf-8 nor cp1252; name its `encoding`"),
        (bytes(10_000), "Line 1 holds the control character U+0000"),
        (small(usual).replace(b"3.0,z", b"3.\x000,z"), "Line 4 holds the control character U+0000"),
        (b"target\n1\n2\n", "Only one column was found"),
        (b"this is text\nof several lines, with a comma\nand no table\n", "Only one column was found"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, table: bytes, sentence: str) -> None:
    assert sentence in refusal(tmp_path, table)


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        (small(usual, header=["a", "a", "target"]), "Columns 1 and 2 are both named 'a'; rename one of them."),
        (small(usual, header=["a", " target ", "target"]), "Columns 2 and 3 are both named 'target'"),
        (small(usual, header=["a" * 300, "b", "target"]), "The name of column 1 is longer than 256 bytes"),
        (small(usual, header=["a\x1b[31m", "b", "target"]), "Line 1 holds the control character U+001B"),
        (small(usual).replace(b"6.0,y,no", b"6.0,no"), "Line 6 has 2 cells where the header has 3."),
        (small(usual).replace(b"6.0,y,no", b"6.0,y,z,no"), "Line 6 has 4 cells where the header has 3."),
        (small(usual).replace(b"6.0,y,no", b'6.0,"y,no'), "In the row at line 6 a quoted value does not end"),
        (small(usual).replace(b"6.0,y,no", b'6.0,"y"y,no'), "In the row at line 6 text follows a closing quote"),
        (small(usual) + b'1,"' + b"x\n" * 200_000, "In the row at line 42 a quoted value does not end"),
    ],
)
def test_a_broken_table_is_refused_at_its_line(tmp_path: Path, table: bytes, sentence: str) -> None:
    assert sentence in refusal(tmp_path, table)


@pytest.mark.parametrize(
    ("wishes", "sentence"),
    [
        ({"target": "targt"}, "There is no column 'targt'; did you mean 'target'?"),
        ({"target": "TARGET"}, "There is no column 'TARGET'; did you mean 'target'?"),
        ({"target": "zzz"}, "There is no column 'zzz'; the columns are 'a', 'b', 'target'."),
        ({"features": ["a", "q"]}, "There is no column 'q'; the columns are 'a', 'b', 'target'."),
        ({"ignore": ["bb"]}, "There is no column 'bb'; did you mean 'b'?"),
        ({"categorical": ["aa"]}, "There is no column 'aa'; did you mean 'a'?"),
        (
            {"ignore": ["a", "b"]},
            "'a' was left out since asked to be ignored; 'b' was left out since asked to be ignored.",
        ),
        ({"delimiter": ";"}, "Only one column was found with the delimiter ';'"),
        ({"encoding": "utf-32"}, "Line 1 is not valid utf-32; name the `encoding` the file has."),
        ({"target": "a", "estimator": {"name": "linear", "balanced": True}}, "'a' holds numbers; leave `balanced` out"),
        ({"kind": "regression"}, "line 2 holds 'no', which is no usable number"),
        ({"estimator": {"name": "nearest-neighbours", "neighbours": 50}}, "There are 32 rows to train on, fewer than"),
        ({"cross_validation_folds": 20}, "32 training rows are too few for 20 folds; ask for fewer."),
    ],
)
def test_a_wish_that_the_table_cannot_fulfil_is_refused(tmp_path: Path, wishes: dict[str, Any], sentence: str) -> None:
    assert sentence in refusal(tmp_path, small(usual), **wishes)


@pytest.mark.parametrize(
    ("table", "wishes", "sentence"),
    [
        (with_target(lambda _: "yes"), {}, "has a single class, 'yes'; two are needed."),
        (with_target(lambda _: ""), {}, "The target column 'target' has no value in any row."),
        (with_target(lambda _: "NA"), {}, "The target column 'target' has no value in any row."),
        (with_target(lambda place: place % 2, rows=6), {}, "has a value in 6 of 6 rows; at least 10 are needed."),
        (with_target(lambda place: place % 2 if place < 9 else ""), {}, "has a value in 9 of 40 rows"),
        (with_target(lambda place: "solo" if place == 3 else place % 2), {}, "there is only one of 'solo'"),
        (with_target(lambda place: place * 1.37, 300), {"kind": "classification"}, "300 distinct values, too many"),
        (with_target(lambda place: place * 1.37, 300), {"kind": "classification"}, "ask for regression."),
        (with_target(lambda place: f"id{place}", 300), {}, "line 2 holds 'id0', which is no usable number"),
        (with_target(lambda place: "abc" if place == 17 else place * 1.37, 300), {}, "line 19 holds 'abc'"),
        (with_target(lambda place: "" if place else 1e300), {}, "has a value in 1 of 40 rows"),
        (with_target(lambda _: 4.5), {"kind": "regression"}, "the same number in every row: 4.5."),
        (
            with_target(lambda place: f"{place}e-200"),
            {},
            "The numbers in 'target' differ by 4e-199; give a smaller unit.",
        ),
        (with_target(lambda place: "word " * 60 + str(place)), {}, "it holds texts of up to 30"),
    ],
)
def test_a_target_that_cannot_be_learnt_is_refused(
    tmp_path: Path, table: bytes, wishes: dict[str, Any], sentence: str
) -> None:
    assert sentence in refusal(tmp_path, table, **wishes)


def test_a_class_with_a_single_training_row_is_not_cross_validated(tmp_path: Path) -> None:
    table = with_target(lambda place: f"class {place // 2}")

    sentence = refusal(tmp_path, table, cross_validation_folds=2)

    assert "The class 'class 0' has a single training row, too few to cross-validate" in sentence


def test_more_folds_than_any_class_has_training_rows_are_refused(tmp_path: Path) -> None:
    table = with_target(lambda place: f"class {place // 4}")

    sentence = refusal(tmp_path, table, cross_validation_folds=5)

    assert "No class has 5 training rows, one for each fold; ask for fewer folds." == sentence


@pytest.mark.parametrize("row", [lambda place: [5, "x", place % 2], lambda place: ["", "", place % 2]])
def test_a_table_without_a_usable_feature_is_refused(tmp_path: Path, row: Any) -> None:
    sentence = refusal(tmp_path, small(row))

    assert sentence.startswith("No column is left to learn from: 'a' was left out since it has")
    assert "'b' was left out since it has" in sentence


def test_a_million_columns_are_refused(tmp_path: Path) -> None:
    header = ",".join(f"c{place}" for place in range(1_000_000))

    assert "too many columns or no line ends" in refusal(tmp_path, header.encode() + b"\n1,2\n")


def test_more_columns_than_are_taken_are_refused(tmp_path: Path) -> None:
    header = ",".join(f"c{place}" for place in range(2001))

    assert "The table has 2,001 columns; at most 2,000 are taken." == refusal(tmp_path, header.encode() + b"\n1,2\n")


def test_a_line_without_an_end_is_refused_in_little_memory(tmp_path: Path) -> None:
    table = small(usual) + b"x" * 50_000_000

    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    sentence = refusal(tmp_path, table)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert "Line 42 is longer than 1,048,576 characters" in sentence
    assert peak - before < 20_000_000


def test_more_rows_than_are_taken_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MAX_CELLS", 100)

    assert "The table has more than 33 rows of 3 columns, the most taken." == refusal(tmp_path, small(usual))


def test_a_table_that_grows_too_large_when_encoded_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder, "MAX_MATRIX_NUMBERS", 200)

    assert "Encoded, the table takes 240 numbers (40 rows, 4 columns) of at most 200" in refusal(tmp_path, small(usual))


@pytest.mark.parametrize("name", ["random-forest", "extra-trees", "gradient-boosting"])
def test_a_forest_that_grows_too_large_is_refused_early(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(fitting, "MAX_NODES", 1000)

    sentence = refusal(tmp_path, mixed(), estimator={"name": name, "trees": 5000})

    assert "5,000 trees would have about" in sentence
    assert "judged by the first 1, of at most 1,000" in sentence


def test_a_file_that_is_not_there_is_refused_by_the_job(tmp_path: Path) -> None:
    assert "there is no file" in refusal(tmp_path, small(usual), file_id="0" * 32)


def test_names_of_somebody_else_are_shown_without_what_a_terminal_acts_on(tmp_path: Path) -> None:
    table = write_csv(["a\u202eb", "n" * 200, "target"], map(usual, range(40)))

    sentence = refusal(tmp_path, table, target="zzz")

    assert f"'a\ufffdb', '{'n' * 59}…', 'target'" in sentence
