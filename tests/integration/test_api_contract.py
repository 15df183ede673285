"""What the OpenAPI document says of the service, where a client of any kind relies on it."""

import re
from collections.abc import Iterator

import msgspec
import pytest

from offload_api.openapi.paths import PATHS
from tests.api import STORES, Api, api_on, problem
from tests.integration.test_api_jobs import UNKNOWN_ID


@pytest.fixture(scope="module", params=STORES)
def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with api_on(request.param, request, tmp_path_factory.mktemp("api")) as running:
        yield running


#: What can be read without anything being made before.
READABLE = [path for path, item in PATHS.items() if "head" in item and "_id}" not in path]
CACHED = [path for path in READABLE if "304" in PATHS[path]["get"]["responses"]]


@pytest.mark.parametrize("path", READABLE)
def test_head_has_the_headers_of_get_and_no_body(api: Api, path: str) -> None:
    got, head = (api.http.request(method, path.replace("{name}", "echo")) for method in ("GET", "HEAD"))

    # What counts requests has another length each time.
    changing = {"date", "content-length"} if path == "/metrics" else {"date"}
    assert (200, 200, b"") == (got.status_code, head.status_code, head.content)
    assert [(name, value) for name, value in got.headers.items() if name not in changing] == [
        (name, value) for name, value in head.headers.items() if name not in changing
    ]


@pytest.mark.parametrize("path", CACHED)
def test_what_the_client_has_is_304(api: Api, path: str) -> None:
    address = path.replace("{name}", "echo")
    etag = api.http.get(address).headers["etag"]

    answer = api.http.get(address, headers={"If-None-Match": etag})

    assert (304, b"", etag) == (answer.status_code, answer.content, answer.headers["etag"])


def test_a_task_tells_what_it_takes_and_gives_and_where_it_runs(api: Api) -> None:
    listed = {task["name"]: task for task in api.http.get("/v1/tasks").json()["tasks"]}

    echo = api.http.get("/v1/tasks/echo").json()

    assert {"echo", "train-model"} <= listed.keys()
    assert echo == listed["echo"]
    assert "text" in msgspec.json.encode(echo["payload_schema"]).decode()
    assert {"queue", "version", "timeout_seconds", "memory_limit_mb", "max_attempts", "result_schema"} <= echo.keys()
    unknown = api.http.get("/v1/tasks/none")
    assert (404, "/problems/unknown-task") == (unknown.status_code, problem(unknown)["type"])


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
