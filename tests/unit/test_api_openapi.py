"""The OpenAPI document is valid, complete, and made of the types that are decoded to."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from litestar import Litestar
from litestar.routes import HTTPRoute
from openapi_spec_validator import validate

from offload_api import access
from offload_api.app import create_app
from offload_api.openapi.document import document
from offload_api.openapi.links import LINKS
from offload_api.openapi.parameters import PAGE_SIZE, PAGE_TOKEN
from offload_api.services import Services, assemble
from offload_api.settings import ApiSettings
from offload_shared.artifacts import Artifacts
from offload_shared.store.database import Database
from offload_shared.tasks import registry
from offload_shared.tasks.echo import ECHO

UNDOCUMENTED = {"/", "/docs", "/docs/{name}", "/schema/openapi.json"}


@pytest.fixture
def services(tmp_path: Path) -> Services:
    database = Database(f"sqlite:///{tmp_path / 'offload.db'}")
    artifacts = Artifacts((tmp_path / "artifacts").as_uri())
    return assemble(ApiSettings(), registry(), database, artifacts, None)


def described(services: Services) -> dict[str, Any]:
    return document(services, access.declared(create_app(services)))


def served(services: Services) -> dict[str, Any]:
    """Return the document as clients read it."""
    return dict(msgspec.json.decode(msgspec.json.encode(described(services))))


def test_the_document_is_valid_openapi(services: Services) -> None:
    validate(served(services))


def test_every_route_is_documented_and_nothing_else(services: Services) -> None:
    app: Litestar = create_app(services)
    routes = {
        (route.path_format, method.lower())
        for route in app.routes
        if isinstance(route, HTTPRoute) and route.path_format not in UNDOCUMENTED
        for method in route.methods - {"OPTIONS"}
    }

    documented = {(path, method) for path, item in described(services)["paths"].items() for method in item}

    assert routes == documented


def test_a_body_that_may_be_left_out_is_said_to_be_and_every_body_may_come_in_too_slowly(services: Services) -> None:
    bodies = {
        each["operationId"]: each
        for item in served(services)["paths"].values()
        for each in item.values()
        if "requestBody" in each
    }

    optional = {name for name, each in bodies.items() if not each["requestBody"]["required"]}
    assert {"rotateKey", "uploadFile", "changeWebhook", "rotateWebhook", "rotateCallbacks"} == optional
    assert [] == [name for name, each in bodies.items() if "408" not in each["responses"]]


def test_every_list_is_paged_alike(services: Services) -> None:
    found = served(services)
    paged = {
        f"#/components/schemas/{n}" for n, s in found["components"]["schemas"].items() if "next_page_token" in str(s)
    }
    lists = {
        each["operationId"]: [p for p in each["parameters"] if p["name"] in ("page_size", "page_token")]
        for item in found["paths"].values()
        for each in item.values()
        if each["responses"].get("200", {}).get("content", {}).get("application/json", {}).get("schema", {}).get("$ref")
        in paged
    }

    expected = {"listJobs", "listSchedules", "listKeys", "listAudit", "listWebhooks", "listDeliveries"}
    assert expected == lists.keys()
    assert all(parameters == [PAGE_SIZE, PAGE_TOKEN] for parameters in lists.values())


def test_every_task_is_a_choice_told_apart_by_its_name(services: Services) -> None:
    schemas = described(services)["components"]["schemas"]

    submission = schemas["Submission"]
    assert set(registry()) == set(submission["discriminator"]["mapping"])
    assert len(registry()) == len(submission["oneOf"])
    echo = schemas["SubmitEcho"]
    assert {"enum": ["echo"]} == echo["properties"]["task"]
    assert {"$ref": "#/components/schemas/Echo"} == echo["properties"]["payload"]
    assert ["task", "payload"] == echo["required"]


def test_the_job_of_a_schedule_is_described_as_any_but_for_its_times(services: Services) -> None:
    schemas = served(services)["components"]["schemas"]

    mapping = schemas["ScheduledJob"]["discriminator"]["mapping"]
    assert set(registry()) == set(mapping)
    once, again = schemas["SubmitEcho"]["properties"], schemas["ScheduleEcho"]["properties"]
    assert {"run_at", "delay_seconds", "deadline"} == once.keys() - again.keys()
    assert {name: once[name] for name in again} == again
    for name in ("ScheduleBody", "ScheduleView"):
        assert {"$ref": "#/components/schemas/ScheduledJob"} == schemas[name]["properties"]["job"]


def test_the_limit_of_processor_time_is_what_the_operator_allows_and_the_task_gives(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'offload.db'}")
    limited = {"echo": msgspec.structs.replace(ECHO, cpu_limit_seconds=5.0)}
    artifacts = Artifacts((tmp_path / "artifacts").as_uri())
    services = assemble(ApiSettings(max_cpu_limit_seconds=10), limited, database, artifacts, None)

    options = served(services)["components"]["schemas"]["SubmitEcho"]["properties"]

    [limit] = [each for each in options["cpu_limit_seconds"]["anyOf"] if each["type"] == "number"]
    assert (0, 10, "Instead of 5.") == (limit["exclusiveMinimum"], limit["maximum"], limit["description"])
    assert 5 == services.submissions.decode(b'{"task": "echo", "payload": {}}', None).cpu_limit_seconds


def test_a_single_task_is_documented_alike(services: Services, tmp_path: Path) -> None:
    artifacts = Artifacts((tmp_path / "artifacts").as_uri())
    alone = assemble(ApiSettings(), {"echo": ECHO}, Database(f"sqlite:///{tmp_path / 'offload.db'}"), artifacts, None)

    made = served(alone)

    validate(made)
    expected = {"propertyName": "task", "mapping": {"echo": "#/components/schemas/SubmitEcho"}}
    assert expected == made["components"]["schemas"]["Submission"]["discriminator"]


def test_every_error_is_documented_as_problem_details(services: Services) -> None:
    operations = [each for item in described(services)["paths"].values() for each in item.values()]
    errors = [
        answer["content"]
        for each in operations
        for status, answer in each["responses"].items()
        if status >= "400" and "content" in answer and each["operationId"] != "getReadiness"
    ]

    expected: Any = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}
    assert errors
    assert all(expected == content for content in errors)


def test_text_that_a_client_sends_is_described_as_strictly_as_it_is_taken(services: Services) -> None:
    text = served(services)["components"]["schemas"]["Echo"]["properties"]["text"]

    assert re.search(text["pattern"], "tab\tand line\r\nend")
    assert not any(re.search(text["pattern"], f"a{control}") for control in "\0\x08\x1b\x7f\x85")


def test_no_pattern_means_another_thing_in_another_language(services: Services) -> None:
    patterns = [each["pattern"] for each in within(served(services)) if isinstance(each.get("pattern"), str)]

    assert patterns
    assert [] == [each for each in patterns if re.search(r"\\[wWsSdDbBAZ]|\(\?[^:=!]", each)]


def test_no_default_is_an_object_which_generators_cannot_read(services: Services) -> None:
    assert [] == [each for each in within(served(services)) if isinstance(each.get("default"), dict)]


def test_each_link_leads_to_an_operation_and_gives_parameters_it_has(services: Services) -> None:
    operations = [each for item in served(services)["paths"].values() for each in item.values()]
    parameters = {each["operationId"]: {given["name"] for given in each["parameters"]} for each in operations}
    links = [
        link
        for each in operations
        for response in each["responses"].values()
        for link in response.get("links", {}).values()
    ]

    assert {operation for operation, _ in LINKS} <= parameters.keys()
    assert len(links) == sum(len(each) for each in LINKS.values())
    assert all(link["parameters"].keys() <= parameters[link["operationId"]] for link in links)


def within(document: Any) -> Iterator[dict[str, Any]]:
    """Return every object of a document."""
    if isinstance(document, dict):
        yield document
    for each in document.values() if isinstance(document, dict) else document if isinstance(document, list) else ():
        yield from within(each)
