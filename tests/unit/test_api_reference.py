"""The reference of the HTTP API names all there is."""

import re
from typing import NamedTuple

import pytest

from offload_api.openapi.paths import PATHS
from offload_api.openapi.responses import HEADERS
from offload_api.settings import ApiSettings
from offload_api.submissions import Submission
from offload_shared.job import Failure, error_body
from offload_shared.settings import PREFIX, SharedSettings
from tests.reference import REFERENCE, calls, examples

#: Every operation by method and path; HEAD is what GET is.
OPERATIONS = {(method.upper(), path): operation for path, item in PATHS.items() for method, operation in item.items()}


def rows() -> list[str]:
    return [line for line in REFERENCE.splitlines() if line.startswith("| `")]


def first_cells() -> set[str]:
    return {name for row in rows() for name in re.findall(r"`([^`]+)`", row.split("|")[1])}


@pytest.mark.parametrize("failure", Failure)
def test_the_reference_says_of_each_way_to_fail_when_it_happens(failure: Failure) -> None:
    assert error_body(failure, "")["type"] in first_cells()


def test_no_table_of_the_reference_is_cut_in_two() -> None:
    lines = ["", *REFERENCE.splitlines(), ""]
    first_rows = [at for at, line in enumerate(lines) if line.startswith("|") and not lines[at - 1].startswith("|")]

    assert [] == [lines[at] for at in first_rows if not lines[at + 1].startswith("|---")]


def test_no_two_sections_of_the_reference_are_of_one_name_and_each_link_leads_to_one() -> None:
    headings = re.findall(r"^## (.+)$", REFERENCE, re.MULTILINE)
    anchors = {heading.lower().replace(" ", "-") for heading in headings}

    assert len(anchors) == len(headings)
    assert set() == set(re.findall(r"\]\(#([\w-]+)\)", REFERENCE)) - anchors


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


def test_the_reference_calls_each_operation_by_curl() -> None:
    called = [call for example in examples() for call in calls(example.commands)]
    missing = [
        f"{method} {path}"
        for method, path in OPERATIONS
        if method != "HEAD" and not any(call.method == method and matches(path, call.path) for call in called)
    ]

    assert [] == missing, "add to docs/http.md, for each of these, a ```sh block with `curl ... $OFFLOAD/...`"


def matches(path: str, called: str) -> bool:
    return re.fullmatch(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path)), called) is not None


def test_the_reference_names_each_parameter() -> None:
    parameters = [each for operation in OPERATIONS.values() for each in operation["parameters"]]
    named = {each["name"] for each in parameters if each["in"] != "path"}
    missing = sorted(name for name in named if not re.search(rf"\b{re.escape(name)}\b", REFERENCE))

    assert [] == missing, "say in docs/http.md what these parameters do"


def test_the_table_of_addresses_has_each_status_of_each_operation() -> None:
    said = {each: row.statuses for row in addresses() for each in row.operations}
    # What every call can be answered, such as a limit of all of them, is said once: in the table of errors.
    of_all = set.intersection(*(set(each["responses"]) for (_, path), each in OPERATIONS.items() if "/v1/" in path))
    missing = {
        f"{method} {path}": lacking
        for (method, path), operation in OPERATIONS.items()
        if (lacking := set(operation["responses"]) - of_all - said.get((method, braced(path)), set()))
    }

    assert {} == missing, "add these to the last column of the first table of docs/http.md"


def test_the_table_of_addresses_has_no_status_that_is_not_answered() -> None:
    answered = {(method, braced(path)): set(each["responses"]) for (method, path), each in OPERATIONS.items()}
    known = [row for row in addresses() if row.operations <= answered.keys()]

    assert known
    for row in known:
        assert row.statuses <= set[str]().union(*(answered[each] for each in row.operations)), row.operations


def test_the_table_of_errors_has_each_status_of_an_error() -> None:
    table = REFERENCE.partition("| status | type | when |")[2].partition("\n\n")[0]
    errors = {status for operation in OPERATIONS.values() for status in operation["responses"] if status >= "400"}

    assert set() == errors - set(re.findall(r"\b[45]\d\d\b", table)), "say in docs/http.md when these are answered"


class Row(NamedTuple):
    """A row of the table of addresses."""

    operations: set[tuple[str, str]]
    statuses: set[str]


def addresses() -> list[Row]:
    """Return the first table of the reference."""
    found = []
    for line in REFERENCE.partition("| method and path |")[2].partition("\n\n")[0].splitlines()[2:]:
        cells = line.split("|")
        methods, paths = re.findall(r"\b[A-Z]{3,}\b", cells[1]), re.findall(r"(/[^\s`]*)", cells[1])
        statuses = set(re.findall(r"\b[2-5]\d\d\b", cells[-2]))
        found.append(Row({(method, path) for method in methods for path in paths}, statuses))
    return found


def braced(path: str) -> str:
    return re.sub(r"\{\w+_id\}", "{id}", path)
