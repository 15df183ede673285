import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from offload_shared.tasks.train_model import Kind
from offload_worker.handlers.training.dataset import Dataset
from offload_worker.handlers.training.table import NumberColumn, WordColumn
from tests.unit.train_model_tables import mixed, read, small, usual, write_csv

FOREIGN = write_csv(
    ["größe", "b", "target"], ([place * 1.5, "äöü"[place % 3], "né" if place % 2 else "ja"] for place in range(40))
).decode()


def words(data: Dataset, name: str) -> tuple[str, ...]:
    column = next(column for column in data.columns if column.name == name)
    assert isinstance(column, WordColumn)
    return column.words


def numbers(data: Dataset, name: str) -> list[float]:
    column = next(column for column in data.columns if column.name == name)
    assert isinstance(column, NumberColumn)
    return [float(value) for value in column.values]


@pytest.mark.parametrize("delimiter", list(",;\t|:^~ "))
def test_the_delimiter_is_found_out(tmp_path: Path, delimiter: str) -> None:
    data = read(tmp_path, write_csv(["a", "b", "target"], map(usual, range(40)), delimiter))

    assert delimiter == data.delimiter
    assert ["a", "b"] == [column.name for column in data.columns]


def test_a_delimiter_within_quotes_separates_nothing(tmp_path: Path) -> None:
    table = small(lambda place: [place * 1.5, f'x, "y"; {place % 3}\nz', place % 2])

    data = read(tmp_path, table)

    assert "," == data.delimiter
    assert ("", 'x, "y"; 0\nz', 'x, "y"; 1\nz', 'x, "y"; 2\nz') == words(data, "b")


def test_a_delimiter_that_is_named_is_taken(tmp_path: Path) -> None:
    table = small(lambda place: [place * 1.5, "x;y", place % 2], header=["a", "b;c", "target"])

    data = read(tmp_path, table.replace(b",", b"!"), delimiter="!")

    assert ["a"] == [column.name for column in data.columns]
    assert ["b;c"] == [column.name for column in data.dropped]


@pytest.mark.parametrize(
    ("codec", "encoding"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8"),
        ("utf-16", "utf-16"),
        ("utf-16-le", "utf-16-le"),
        ("utf-16-be", "utf-16-be"),
        ("utf-32", "utf-32"),
        ("cp1252", "cp1252"),
    ],
)
def test_the_encoding_is_found_out(tmp_path: Path, codec: str, encoding: str) -> None:
    data = read(tmp_path, FOREIGN.encode(codec))

    assert encoding == data.encoding
    assert ["größe", "b"] == [column.name for column in data.columns]
    assert ("", "ä", "ö", "ü") == words(data, "b")
    assert ("ja", "né") == data.target.classes
    assert (encoding == "cp1252") == bool(data.notes)


@pytest.mark.parametrize("encoding", ["mac-roman", "cp850", "iso-8859-15", "utf-32"])
def test_an_encoding_that_is_named_is_taken(tmp_path: Path, encoding: str) -> None:
    data = read(tmp_path, FOREIGN.encode(encoding), encoding=encoding)

    assert ("", "ä", "ö", "ü") == words(data, "b")
    assert () == data.notes


def test_a_character_cut_in_two_by_a_chunk_is_read(tmp_path: Path) -> None:
    table = write_csv(["a", "b", "target"], ([place, "é" * (101 + place % 3), place % 2] for place in range(8000)))
    assert len(table) > 1024 * 1024

    for start in (b"# ", b"#  "):  # one of them puts half a character at the end of the first chunk read
        data = read(tmp_path, start + table, features=["b"])
        assert ("utf-8", ("", "é" * 101, "é" * 102, "é" * 103)) == (data.encoding, words(data, "b"))


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.replace(b"\n", b"\r\n"),
        lambda table: table.replace(b"\n", b"\r"),
        lambda table: b"\n\n" + table.replace(b"\n", b"\n\n"),
        lambda table: table.rstrip(),
        lambda table: table.replace(b"\n", b",\n").replace(b"target,", b"target", 1),
        lambda table: b"sep=;\r\n" + table.replace(b",", b";"),
        lambda table: table.replace(b",", b" , "),
    ],
    ids=["crlf", "cr", "blank lines", "no last end", "delimiter at the end", "hint for excel", "spaces around cells"],
)
def test_every_way_to_write_the_same_table_is_read_alike(tmp_path: Path, change: object) -> None:
    assert callable(change)
    plain, other = (read(tmp_path, table) for table in (small(usual), change(small(usual))))

    assert numbers(plain, "a") == numbers(other, "a")
    assert words(plain, "b") == words(other, "b")
    assert plain.target.classes == other.target.classes
    assert plain.target.values.tolist() == other.target.values.tolist()


def test_decimal_commas_are_numbers(tmp_path: Path) -> None:
    rows = ([f"{place},5", f"{place * 2}", f"{place},25"] for place in range(40))

    data = read(tmp_path, write_csv(["a", "b", "target"], rows, delimiter=";"))

    assert [0.5, 1.5, 2.5] == numbers(data, "a")[:3]
    assert Kind.REGRESSION == data.target.kind
    assert [0.25, 1.25, 2.25] == data.target.values.tolist()[:3]


def test_missing_values_are_known_in_their_usual_spellings(tmp_path: Path) -> None:
    gaps = ["", "NA", "n/a", "NaN", "null", "?", "-", "#N/A", " "]
    rows = [[gap, gap, "yes"] for gap in gaps] + [usual(place) for place in range(40)]

    data = read(tmp_path, write_csv(["a", "b", "target"], rows))

    assert [len(gaps), len(gaps)] == [int(column.missing.sum()) for column in data.columns]
    assert ("", "x", "y", "z") == words(data, "b")


def test_none_is_a_value(tmp_path: Path) -> None:
    data = read(tmp_path, small(lambda place: [place * 1.5, "x", ["none", "mild", "severe"][place % 3]]))

    assert ("mild", "none", "severe") == data.target.classes


def test_a_few_texts_among_numbers_count_as_missing_and_are_noted(tmp_path: Path) -> None:
    table = small(
        lambda place: ["broken" if place in {4, 9} else "inf" if place == 20 else place * 1.5, *usual(place)[1:]]
    )

    data = read(tmp_path, table)

    assert [4, 9, 20] == np.flatnonzero(np.isnan(numbers(data, "a"))).tolist()
    assert ("3 values of 'a' are no numbers and count as missing, the first at line 6: 'broken'.",) == data.notes


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (lambda place: place % 2, Kind.CLASSIFICATION),
        (lambda place: f"{place % 3}.0", Kind.CLASSIFICATION),
        (lambda place: place, Kind.REGRESSION),
        (lambda place: place % 2 + 0.5, Kind.REGRESSION),
        (lambda place: "ab"[place % 2], Kind.CLASSIFICATION),
    ],
    ids=["two numbers", "few whole numbers", "many whole numbers", "fractions", "texts"],
)
def test_the_kind_is_found_out_from_the_target(tmp_path: Path, values: object, kind: Kind) -> None:
    assert callable(values)

    assert kind == read(tmp_path, small(lambda place: [*usual(place)[:2], values(place)])).target.kind


def test_classes_written_as_numbers_are_named_shortly(tmp_path: Path) -> None:
    data = read(tmp_path, small(lambda place: [*usual(place)[:2], f"{place % 3 * 5}.0"]))

    assert ("0", "5", "10") == data.target.classes


def test_dead_and_identifying_columns_are_dropped_with_the_reason(tmp_path: Path) -> None:
    data = read(tmp_path, mixed(), ignore=["postcode"])

    reasons = {column.name: column.reason for column in data.dropped}
    assert ["age", "income", "town", "plan"] == [column.name for column in data.columns]
    assert {"postcode", "id", "token", "fax", "currency"} == reasons.keys()
    assert "asked to be ignored" == reasons["postcode"]
    assert "it only counts the rows" == reasons["id"]
    assert reasons["token"].startswith("nearly every row has a text of its own, such as 'u-0.")
    assert "it has no value in any row" == reasons["fax"]
    assert "it has the same value in every row" == reasons["currency"]


@pytest.mark.parametrize(
    ("name", "number", "dropped"),
    [
        ("anything", lambda place: place + 1, True),
        ("anything", lambda place: place * 7, False),
        ("PassengerId", lambda place: place * 7 % 41, True),
        ("order_no", lambda place: 4_000_000_000 + place, True),
        ("id", lambda place: place % 9, False),
        ("id", lambda place: place * 1.5, False),
        ("width", lambda place: place * 7 % 41, False),
    ],
)
def test_numbers_that_only_tell_rows_apart_are_dropped(
    tmp_path: Path, name: str, number: object, dropped: bool
) -> None:
    assert callable(number)
    table = small(lambda place: [number(place), "xyz"[place % 3], place % 2], header=[name, "b", "target"])

    data = read(tmp_path, table)

    assert dropped == (name not in {column.name for column in data.columns})


def test_features_that_are_asked_for_are_kept_even_if_they_look_like_identifiers(tmp_path: Path) -> None:
    data = read(tmp_path, mixed(), features=["id", "token", "fax"])

    assert ["id", "token"] == [column.name for column in data.columns]
    assert "it has no value in any row" == next(column.reason for column in data.dropped if column.name == "fax")
    assert "not among the features asked for" == next(entry.reason for entry in data.dropped if entry.name == "age")


def test_numbers_that_are_names_become_categories(tmp_path: Path) -> None:
    data = read(tmp_path, mixed(), categorical=["postcode"])

    assert ("", *(str(50_667 + place) for place in range(7))) == words(data, "postcode")


def test_long_and_too_many_texts_are_no_categories(tmp_path: Path) -> None:
    header = ["essay", "token", "n", "target"]
    rows = ([f"{place} {'word ' * 60}", f"t{place % 20_500}", place % 7, place % 2] for place in range(41_000))

    data = read(tmp_path, write_csv(header, rows))

    reasons = {column.name: column.reason for column in data.dropped}
    assert reasons["essay"].startswith("it holds texts of up to 30")
    assert "it has more than 20,000 distinct texts, too many for categories" == reasons["token"]


def test_reading_takes_memory_for_the_columns_that_are_kept_alone(tmp_path: Path) -> None:
    table = write_csv(["n", "text", "target"], ([place % 9, f"{place:05}" * 100, place % 2] for place in range(40_000)))
    assert len(table) > 20_000_000

    tracemalloc.start()
    data = read(tmp_path, table)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert 40_000 == data.rows_read
    assert peak < 14_000_000  # some batches of rows, not the table
