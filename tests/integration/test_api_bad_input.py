"""Bad input over HTTP: each case has its answer, leaves nothing behind, and disturbs nobody."""

import json
import re
import socket
import threading
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from sqlalchemy import func, select

from offload_shared.store.schema import job as job_table
from tests.api import STORES, Api, api_on, problem

LIMIT_BYTES = 100_000
JSON = {"Content-Type": "application/json"}
PATIENCE_SECONDS = 15
#: What takes a large body, each kind by a limit of its own.
BODIES = ("/v1/jobs", "/v1/jobs:batch", "/v1/schedules", "/v1/files")


@pytest.fixture(scope="module", params=STORES)
def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    limits = {"max_body_bytes": str(LIMIT_BYTES), "max_upload_bytes": str(LIMIT_BYTES)}
    with api_on(request.param, request, tmp_path_factory.mktemp("api"), **limits) as running:
        yield running


@pytest.fixture(autouse=True)
def nothing_is_left(api: Api) -> Iterator[None]:
    yield
    rows = select(func.count()).select_from(job_table)
    assert 0 == api.database.read(lambda connection: connection.execute(rows).scalar_one())
    assert [] == api.files()
    assert 200 == api.http.get("/health/ready").status_code


def job(payload: str = '{"text": "x"}', options: str = "") -> bytes:
    return f'{{"task": "echo", "payload": {payload}{options}}}'.encode()


MALFORMED = {
    "empty": b"",
    "no JSON": b"task=echo",
    "cut off": job()[:-1],
    "byte order mark": b"\xef\xbb\xbf" + job(),
    "trailing data": job() + b" {}",
    "NaN": job('{"delay_seconds": NaN}'),
    "Infinity": job('{"delay_seconds": Infinity}'),
    "1e999": job('{"delay_seconds": 1e999}'),
    "1e999 in an unknown field": job(options=', "colour": 1e999'),
    "lone surrogate": job('{"text": "\\ud800"}'),
    "lone surrogate in an unknown field": job(options=', "colour": "\\udc00"'),
    "not UTF-8": job().replace(b"x", b"\xff"),
    "not UTF-8 in a name": job(options=', "\xff": 1').replace(b"\xc3\xbf", b"\xff"),
    "UTF-16": job().decode().encode("utf-16"),
    "nested too deep": job("[" * 64 + "]" * 64),
    "nested far too deep": job('{"a":' * 15_000 + "1" + "}" * 15_000),
    "nested and never closed": b"[" * LIMIT_BYTES,
    "control character unescaped": job('{"text": "\x01"}'),
    "a number of 5,000 digits": job('{"delay_seconds": ' + "1" * 5000 + "}"),
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED.keys())
def test_what_is_no_sound_json_is_400(api: Api, body: bytes) -> None:
    answer = api.http.post("/v1/jobs", content=body, headers=JSON)

    assert (400, "/problems/malformed") == (answer.status_code, problem(answer)["type"])


INVALID = {
    "array": (b"[]", [""]),
    "null": (b"null", [""]),
    "no task": (b'{"payload": {}}', ["/task"]),
    "a task that is no text": (b'{"task": 1, "payload": {}}', ["/task"]),
    "no payload": (b'{"task": "echo"}', ["/payload"]),
    "payload of another type": (job("[]"), ["/payload"]),
    "NUL": (job('{"text": "a\\u0000"}'), ["/payload/text"]),
    "escape character": (job('{"text": "\\u001b[2J"}'), ["/payload/text"]),
    "delete character": (job('{"text": "\x7f"}'), ["/payload/text"]),
    "unknown option": (job(options=', "state": "succeeded"'), ["/state"]),
    "unknown field of the payload": (job('{"colour": "red"}'), ["/payload/colour"]),
    "a name to be escaped": (job('{"a/b~c": 1}'), ["/payload/a~1b~0c"]),
    "text for a number": (job(options=', "priority": "5"'), ["/priority"]),
    "fraction for a whole number": (job(options=', "priority": 1.5'), ["/priority"]),
    "priority too high": (job(options=', "priority": 10'), ["/priority"]),
    "priority too low": (job(options=', "priority": -1'), ["/priority"]),
    "timeout of nothing": (job(options=', "timeout_seconds": 0'), ["/timeout_seconds"]),
    "timeout too long": (job(options=', "timeout_seconds": 1e9'), ["/timeout_seconds"]),
    "memory too large": (job(options=', "memory_limit_mb": 1000000'), ["/memory_limit_mb"]),
    "processor time of nothing": (job(options=', "cpu_limit_seconds": 0'), ["/cpu_limit_seconds"]),
    "processor time before nothing": (job(options=', "cpu_limit_seconds": -1'), ["/cpu_limit_seconds"]),
    "more processor time than allowed": (job(options=', "cpu_limit_seconds": 604801'), ["/cpu_limit_seconds"]),
    "text for processor time": (job(options=', "cpu_limit_seconds": "5"'), ["/cpu_limit_seconds"]),
    "no attempts": (job(options=', "max_attempts": 0'), ["/max_attempts"]),
    "negative delay": (job(options=', "delay_seconds": -1'), ["/delay_seconds"]),
    "delay of a century": (job(options=', "delay_seconds": 3e9'), ["/delay_seconds"]),
    "run_at in the year 99999": (job(options=', "run_at": "99999-01-01T00:00:00Z"'), ["/run_at"]),
    "run_at that no zone can hold": (job(options=', "run_at": "9999-12-31T23:59:59-12:00"'), ["/run_at"]),
    "run_at without a zone": (job(options=', "run_at": "2030-01-01T00:00:00"'), ["/run_at"]),
    "deadline before the beginning": (job(options=', "deadline": "0001-01-01T00:00:00+14:00"'), ["/deadline"]),
    "deadline before run_at": (
        job(options=', "run_at": "2030-01-01T00:00:00Z", "deadline": "2029-01-01T00:00:00Z"'),
        ["/deadline"],
    ),
    "run_at and delay": (
        job(options=', "run_at": "2030-01-01T00:00:00Z", "delay_seconds": 1'),
        ["/delay_seconds"],
    ),
    "text too long": (job(json.dumps({"text": "x" * 10_001})), ["/payload/text"]),
    "three at once": (
        job('{"delay_seconds": -1, "colour": 1}', ', "priority": 99'),
        ["/payload/colour", "/payload/delay_seconds", "/priority"],
    ),
}


@pytest.mark.parametrize(("body", "pointers"), INVALID.values(), ids=INVALID.keys())
def test_what_breaks_a_rule_is_422_with_an_entry_for_each_field(api: Api, body: bytes, pointers: list[str]) -> None:
    answer = api.http.post("/v1/jobs", content=body, headers=JSON)

    assert (422, "/problems/invalid") == (answer.status_code, problem(answer)["type"])
    assert pointers == sorted(error["pointer"] for error in problem(answer)["errors"])


def test_an_unknown_task_is_404(api: Api) -> None:
    answer = api.http.post("/v1/jobs", json={"task": "mine-bitcoin", "payload": {}})

    assert (404, "/problems/unknown-task") == (answer.status_code, problem(answer)["type"])


@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/xml", None]
)
def test_a_job_that_is_not_announced_as_json_is_415(api: Api, media_type: str | None) -> None:
    answer = api.http.post("/v1/jobs", content=job(), headers={"Content-Type": media_type} if media_type else {})

    assert (415, "/problems/unsupported-media-type") == (answer.status_code, problem(answer)["type"])


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "gzip, gzip"])
def test_a_compressed_body_is_415_and_never_inflated(api: Api, path: str, encoding: str) -> None:
    answer = api.http.post(path, content=job(), headers={**JSON, "Content-Encoding": encoding})

    assert 415 == answer.status_code
    assert "Content-Encoding" in problem(answer)["detail"]


@pytest.mark.parametrize("key", ["", "x" * 256, "ключ", "tab\tkey"])
def test_an_unusable_idempotency_key_is_400(api: Api, key: str) -> None:
    headers = [(b"Content-Type", b"application/json"), (b"Idempotency-Key", key.encode())]

    answer = api.http.post("/v1/jobs", content=job(), headers=headers)

    assert 400 == answer.status_code
    assert "Idempotency-Key" in problem(answer)["detail"]


@pytest.mark.parametrize("path", BODIES)
def test_a_body_announced_as_too_large_is_413_before_it_is_sent(api: Api, path: str) -> None:
    with Raw(api) as raw:
        raw.send(
            f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 10000000000\r\n"
        )
        raw.send("Expect: 100-continue\r\n\r\n")

        assert raw.answer().startswith("HTTP/1.1 413 ")


@pytest.mark.parametrize("path", BODIES)
def test_a_body_without_end_is_413_at_the_limit_with_flat_memory(api: Api, path: str) -> None:
    before = psutil.Process(api.process.pid).memory_info().rss
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    with Raw(api) as raw:
        raw.send(
            f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        for _ in range(2000):
            try:
                raw.send(chunk)
            except OSError:  # the server has said what there was to say, and closed
                break
        else:
            pytest.fail("the server read 130 MB of a body limited to 100 kB")

    assert psutil.Process(api.process.pid).memory_info().rss - before < 30_000_000


def test_the_answer_413_reaches_a_client_that_is_still_sending(api: Api) -> None:
    for _ in range(20):
        answer = api.http.post("/v1/files", content=(b"x" * 65_536 for _ in range(20)))

        assert (413, "/problems/too-large") == (answer.status_code, problem(answer)["type"])


def test_a_body_at_the_limit_is_read(api: Api) -> None:
    body = job().ljust(LIMIT_BYTES) + b"!"

    assert 413 == api.http.post("/v1/jobs", content=body, headers=JSON).status_code
    assert 400 == api.http.post("/v1/jobs", content=body[1:], headers=JSON).status_code


SMUGGLING = {
    "both lengths": (
        "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    "two lengths": "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "the same length twice in one": "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 5, 5\r\n\r\nhello",
    "a length below nothing": "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\nhello",
    "a length that is no number": "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 0x5\r\n\r\nhello",
    "a chunk of no size": (
        "POST /v1/files HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nlarge\r\nhello\r\n0\r\n\r\n"
    ),
    "a chunk longer than its size": (
        "POST /v1/files HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n\r\n"
    ),
    "an encoding that is not the last": (
        "POST /v1/files HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"
    ),
    "a bare carriage return": "GET /health/live HTTP/1.1\r\nHost: x\r\nX: a\rb\r\n\r\n",
    "a line feed": "GET /health/live HTTP/1.1\r\nHost: x\r\nX: a\n b: c\r\n\r\n",
    "NUL in a header": "GET /health/live HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n",
    "no HTTP": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}


@pytest.mark.parametrize("request_text", SMUGGLING.values(), ids=SMUGGLING.keys())
def test_an_ambiguous_request_is_400_and_the_connection_closed(api: Api, request_text: str) -> None:
    with Raw(api) as raw:
        raw.send(request_text)
        head, _, body = raw.answer().partition("\r\n\r\n")

    assert head.startswith("HTTP/1.1 400 ")
    assert "application/problem+json" in head
    assert 400 == json.loads(body)["status"]


def test_headers_without_end_are_431(api: Api) -> None:
    with Raw(api) as raw:
        raw.send("GET /health/live HTTP/1.1\r\nHost: x\r\nX: ")
        for _ in range(1_000):
            raw.send("x" * 4096)

        assert raw.answer().startswith("HTTP/1.1 431 ")


def test_what_follows_a_body_longer_than_announced_is_no_request(api: Api) -> None:
    with Raw(api) as raw:
        raw.send("POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n")
        raw.send('{}"task": "echo"}')
        answers = raw.answer()

    assert ["422", "400"] == re.findall(r"HTTP/1.1 (\d+) ", answers)


def test_a_client_that_leaves_in_the_middle_leaves_nothing(api: Api) -> None:
    for path in BODIES:
        with Raw(api) as raw:
            raw.send(
                f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{{"
            )


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v1/nothing"), ("GET", "/v1/jobs/x/y/z"), ("GET", "/../etc/passwd")]
)
def test_an_address_where_nothing_is_answers_404(api: Api, method: str, path: str) -> None:
    assert 404 == problem(api.http.request(method, path))["status"]


@pytest.mark.parametrize(("method", "path"), [("DELETE", "/v1/tasks"), ("PUT", "/v1/jobs"), ("POST", "/health/live")])
def test_a_method_that_is_not_taken_is_405_and_says_which_are(api: Api, method: str, path: str) -> None:
    answer = api.http.request(method, path)

    assert 405 == problem(answer)["status"]
    assert method not in answer.headers["allow"].split(", ")


class Raw:
    """A connection on which a test writes what no client library would."""

    def __init__(self, api: Api) -> None:
        self._socket = socket.create_connection(("127.0.0.1", api.port), timeout=PATIENCE_SECONDS)

    def send(self, data: str | bytes) -> None:
        self._socket.sendall(data.encode("latin-1") if isinstance(data, str) else data)

    def begins_with(self, expected: str) -> bool:
        """Whether the answer does; the rest is left unread."""
        return self._socket.recv(len(expected)).decode() == expected

    def is_answered(self, *, before: threading.Event) -> bool:
        """Whether an answer begins before this happens."""
        while not before.is_set():
            self._socket.settimeout(0.05)
            try:
                return bool(self._socket.recv(1, socket.MSG_PEEK))
            except TimeoutError:
                continue
            finally:
                self._socket.settimeout(PATIENCE_SECONDS)
        return False

    def answer(self) -> str:
        """Return all that comes until the server closes the connection."""
        received = b""
        try:
            while chunk := self._socket.recv(65_536):
                received += chunk
        except ConnectionResetError:  # which is how one ends that was closed while a body was still being sent
            if not received:
                raise
        return received.decode()

    def __enter__(self) -> "Raw":
        return self

    def __exit__(self, *_: Any) -> None:
        self._socket.close()
