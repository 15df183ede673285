"""What the OpenAPI document says of the service, where a client of any kind relies on it."""

import re
from collections.abc import Iterator

import pytest

from offload_api.openapi.paths import PATHS
from tests.api import STORES, Api, api_on
from tests.integration.test_api_jobs import UNKNOWN_ID


@pytest.fixture(scope="module", params=STORES)
def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with api_on(request.param, request, tmp_path_factory.mktemp("api")) as running:
        yield running


@pytest.mark.parametrize("path", PATHS)
def test_options_names_every_method_that_the_document_does(api: Api, path: str) -> None:
    answer = api.http.options(re.sub(r"\{\w+_id\}", UNKNOWN_ID, path).replace("{name}", "x"))

    assert 204 == answer.status_code
    assert {*(method.upper() for method in PATHS[path]), "OPTIONS"} == set(answer.headers["allow"].split(", "))


def test_a_long_row_of_digits_in_a_text_is_no_number(api: Api) -> None:
    text = "7" * 5_000

    answer = api.http.post("/v1/jobs", json={"task": "echo", "payload": {"text": text}, "tags": ["digits"]})

    assert 202 == answer.status_code, answer.text


@pytest.mark.parametrize("number", ["3.0", "3e0", "30e-1"])
def test_a_whole_number_is_one_however_it_is_written(api: Api, number: str) -> None:
    body = f'{{"task": "echo", "payload": {{}}, "priority": {number}, "delay_seconds": 3600.0}}'
    batch = f'{{"jobs": [{body}]}}'

    one, many = (
        api.http.post(path, content=content, headers={"Content-Type": "application/json"})
        for path, content in (("/v1/jobs", body), ("/v1/jobs:batch", batch))
    )

    assert [202, 202] == [one.status_code, many.status_code], one.text + many.text
    assert 3 == one.json()["priority"] == many.json()["jobs"][0]["priority"]
