"""The reference of the HTTP API names all there is."""

import re
from pathlib import Path

import pytest

from offload_api.openapi.operations import HEADERS, PATHS
from offload_api.settings import ApiSettings
from offload_api.submissions import Submission
from offload_shared.job import Failure, error_body
from offload_shared.settings import PREFIX, SharedSettings

REFERENCE = (Path(__file__).parents[2] / "docs" / "http.md").read_text()


def rows() -> list[str]:
    return [line for line in REFERENCE.splitlines() if line.startswith("| `")]


def first_cells() -> set[str]:
    return {name for row in rows() for name in re.findall(r"`([^`]+)`", row.split("|")[1])}


@pytest.mark.parametrize("failure", Failure)
def test_the_reference_says_of_each_way_to_fail_when_it_happens(failure: Failure) -> None:
    assert error_body(failure, "")["type"] in first_cells()


def test_the_reference_lists_each_option_of_a_job() -> None:
    assert set(Submission.__struct_fields__) - {"payload"} <= first_cells()


def test_the_reference_lists_each_setting_of_the_api() -> None:
    settings = set(ApiSettings.__struct_fields__) - set(SharedSettings.__struct_fields__)

    assert {PREFIX + name.upper() for name in settings} <= first_cells()


def test_the_reference_lists_each_address() -> None:
    listed = {re.sub(r"^(GET|HEAD|POST|DELETE) ", "", cell) for cell in first_cells()}

    assert {re.sub(r"\{\w+_id\}", "{id}", path) for path in PATHS} <= listed


def test_the_reference_names_each_header_of_ours() -> None:
    assert {name for name in HEADERS if name.startswith("Offload-")} <= set(re.findall(r"`([^`\n]+)`", REFERENCE))
