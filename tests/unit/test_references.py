"""References between the payloads of a flow's jobs."""

from typing import Any

import pytest

from offload_shared.errors import ReferenceInvalid
from offload_shared.references import JOB, RESULT, Reference, filled, found_in, named

IDS = {"train": "1" * 32, "load": "2" * 32}


def test_references_are_found_at_any_depth_with_where_they_stand() -> None:
    payload = {"a/b": [{"$job": "train"}, 1], "x": {"y": {"$result": "load", "at": "/rows"}}, "z": {"at": "home"}}

    assert [Reference("/a~1b/0", JOB, "train"), Reference("/x/y", RESULT, "load", "/rows")] == found_in(payload)


@pytest.mark.parametrize(
    "looks_like_one",
    [
        {"$job": "train", "at": "/x"},
        {"$job": 1},
        {"$result": "train", "at": "x"},
        {"$result": "train", "at": 1},
        {"$result": "train", "or": 1},
        {"$job": "train", "$result": "train"},
    ],
)
def test_what_only_looks_like_a_reference_is_refused_where_it_stands(looks_like_one: dict[str, Any]) -> None:
    with pytest.raises(ReferenceInvalid) as refused:
        found_in({"model": [looks_like_one]})

    assert "/model/0" == refused.value.pointer


def test_a_job_is_named_by_its_id_and_so_is_whose_result_is_taken() -> None:
    payload = {"model": {"job": {"$job": "train"}, "name": "model.onnx"}, "rows": {"$result": "load", "at": "/rows"}}

    expected = {"model": {"job": "1" * 32, "name": "model.onnx"}, "rows": {"$result": "2" * 32, "at": "/rows"}}
    assert expected == named(payload, IDS)


@pytest.mark.parametrize(
    ("at", "found"),
    [
        ("", {"rows": [{"a/b": 1, "m~n": 2}, "last"], "": 0}),
        ("/rows/1", "last"),
        ("/rows/0/a~1b", 1),
        ("/rows/0/m~0n", 2),
        ("/", 0),
    ],
)
def test_a_result_is_put_where_it_is_referred_to(at: str, found: Any) -> None:
    result = {"rows": [{"a/b": 1, "m~n": 2}, "last"], "": 0}

    assert {"x": [found]} == filled({"x": [{"$result": "load", "at": at}]}, {"load": result})


@pytest.mark.parametrize("at", ["/none", "/rows/2", "/rows/-", "/rows/01", "/rows/0/deeper"])
def test_a_pointer_that_leads_nowhere_in_a_result_is_told_with_where_it_was_asked_for(at: str) -> None:
    with pytest.raises(ReferenceInvalid, match=f"refers to {at}, which that result does not have") as refused:
        filled({"x": {"$result": "load", "at": at}}, {"load": {"rows": [1, 2]}})

    assert "/x" == refused.value.pointer


def test_a_result_that_looks_like_a_reference_is_taken_as_it_is() -> None:
    result = {"$result": "load"}

    assert {"x": result} == filled({"x": {"$result": "load"}}, {"load": result})
