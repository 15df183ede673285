"""Nobody holds the API by being slow, many or large: each limit over HTTP, with flat memory."""

import gzip
import json
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil
import pytest
from sqlalchemy import func, select

from offload_shared.job import Progress
from offload_shared.store import leases
from offload_shared.store.schema import job as job_table
from tests.acceptance.stack import until
from tests.api import STORES, Api, api_on, problem
from tests.integration.test_api_bad_input import JSON, Raw, job

LIMIT_BYTES = 100_000
#: What a process may grow by and still count as flat: far less than any one of the abuses would take if it were kept.
FLAT_BYTES = 60_000_000
#: So many bodies of this size at once would be far from flat.
MANY, LARGE_BYTES = 100, 1024 * 1024


@pytest.fixture(scope="module", params=STORES)
def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    limits = {"max_body_bytes": str(LIMIT_BYTES), "max_upload_bytes": str(LIMIT_BYTES)}
    with api_on(request.param, request, tmp_path_factory.mktemp("api"), **limits) as running:
        yield running


HEAD = "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"

#: What a client begins with, what it sends from then on again and again, and the status it is answered before the end.
SLOW_CLIENTS = {
    "that says nothing": ("", "", "408"),
    "that sends headers by the letter": ("GET /health/live HTTP/1.1\r\nHost: x\r\nX: ", "x", "408"),
    "that sends line ends alone": ("", "\r\n", "408"),
    "that sends a body by the letter": (HEAD.format(path="/v1/jobs"), " ", "408"),
    "that sends a key to make by the letter": (HEAD.format(path="/v1/keys"), " ", "408"),
    "that sends a file by the letter": (HEAD.format(path="/v1/files"), "x", "408"),
    "that goes on with a body behind its answer": (HEAD.format(path="/v1/jobs/x/cancel"), "x", "404"),
    "that asks no more": ("GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n", "", "200"),
}


def test_a_client_that_is_too_slow_is_disconnected(api: Api) -> None:
    with ThreadPoolExecutor(len(SLOW_CLIENTS)) as threads:
        answers = {
            name: threads.submit(all_that_is_answered, api, first, then)
            for name, (first, then, _) in SLOW_CLIENTS.items()
        }
        # meanwhile the others are served
        assert 200 == api.http.get("/health/ready").status_code

    expected = {name: status for name, (_, _, status) in SLOW_CLIENTS.items()}
    assert expected == {name: answer.result().split(" ")[1] for name, answer in answers.items()}
    assert [] == api.files()


def all_that_is_answered(api: Api, first: str, then: str) -> str:
    """Return what the server says until it closes, sending a little more whenever it is silent."""
    received = b""
    with socket.create_connection(("127.0.0.1", api.port)) as connection:
        connection.sendall(first.encode())
        connection.settimeout(0.5)
        for _ in range(180):
            try:
                chunk = connection.recv(65_536)
            except TimeoutError:
                with suppress(OSError):  # it has closed its half
                    connection.sendall(then.encode())
                continue
            except ConnectionResetError:
                chunk = b""
            received += chunk
            if not chunk:
                return received.decode()
    pytest.fail(f"still connected: {received!r}")


@pytest.mark.parametrize("store", STORES)
def test_too_many_connections_of_a_client_are_refused_until_one_is_closed(
    store: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    with api_on(store, request, tmp_path, max_connections_per_client="5") as api:
        api.http.get("/health/live")  # which keeps its own
        with ExitStack() as kept:
            held = [kept.enter_context(Raw(api)) for _ in range(4)]
            with Raw(api) as refused:
                head, _, body = refused.answer().partition("\r\n\r\n")
            assert head.startswith("HTTP/1.1 429 ")
            assert "\r\nretry-after: " in head
            assert 429 == json.loads(body)["status"]
            held[0].send("GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert held[0].answer().startswith("HTTP/1.1 200 ")

            def served() -> bool:
                with Raw(api) as another, suppress(OSError):
                    another.send("GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                    return another.answer().startswith("HTTP/1.1 200 ")
                return False

            until(served, "a place for a connection")


@pytest.mark.parametrize("store", STORES)
def test_streams_that_never_read_are_bounded_and_leave_memory_flat(
    store: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    with api_on(store, request, tmp_path, max_streams_per_client="300") as api:
        job_id = api.submit()["id"]
        lease = api.start(job_id)
        before = rss(api)
        with ExitStack() as kept:
            for _ in range(300):
                raw = kept.enter_context(Raw(api))
                raw.send(f"GET /v1/jobs/{job_id}/events HTTP/1.1\r\nHost: x\r\n\r\n")
                assert raw.begins_with("HTTP/1.1 200 ")
            until(lambda: refused(api, job_id), "the last place to be taken")
            for percent in range(100):
                leases.report(api.database, {lease: Progress(percent, "x" * 200)})
                assert percent <= api.job(job_id)["progress"]["percent"]
            assert rss(api) - before < FLAT_BYTES


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("encoding", ["announced", "chunked"])
def test_large_bodies_that_come_together_find_no_more_room_than_there_is_and_memory_stays_flat(
    store: str, encoding: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    limits = {"max_body_bytes": str(LARGE_BYTES), "max_held_bytes": str(8 * LARGE_BYTES)}
    with api_on(store, request, tmp_path, **limits) as api, ThreadPoolExecutor(MANY) as threads:
        before, go_on = rss(api), threading.Event()
        answers = [threads.submit(last_byte_kept_back, api, encoding, go_on) for _ in range(MANY)]
        # A client has half of the room, and all here are one. Who finds none is told, while the others are waited for.
        until(lambda: sum(each.done() for each in answers) == MANY - 4, "the end of all that found no room")
        assert api.submit()["state"] == "queued"
        assert rss(api) - before < FLAT_BYTES
        go_on.set()
        heads = [each.result().partition("\r\n\r\n")[0] for each in answers]

        assert {"202": 4, "503": MANY - 4} == Counter(head.split(" ")[1] for head in heads)
        assert all("\r\nretry-after: " in head for head in heads)
        assert 202 == api.http.post("/v1/jobs", content=job().ljust(LARGE_BYTES), headers=JSON).status_code
        rows = select(func.count()).select_from(job_table)
        assert 6 == api.database.read(lambda connection: connection.execute(rows).scalar_one())


def last_byte_kept_back(api: Api, encoding: str, go_on: threading.Event) -> str:
    """Return what is answered to a job in a large body, whose last byte is sent when its time has come."""
    body = job().ljust(LARGE_BYTES)
    length = f"Content-Length: {LARGE_BYTES}" if encoding == "announced" else "Transfer-Encoding: chunked"
    head = (
        f"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n{length}\r\n\r\n"
    )
    first, last = (
        (body[:-1], body[-1:]) if encoding == "announced" else (chunk(body[:-1]), chunk(body[-1:]) + chunk(b""))
    )
    with Raw(api) as raw:
        raw.send(head.encode() + first)
        if not raw.is_answered(before=go_on):
            raw.send(last)
        return raw.answer()


def chunk(content: bytes) -> bytes:
    return f"{len(content):x}\r\n".encode() + content + b"\r\n"


def refused(api: Api, job_id: str) -> bool:
    with api.http.stream("GET", f"/v1/jobs/{job_id}/events") as answer:
        return answer.status_code == 429


def test_a_query_of_very_many_names_costs_next_to_nothing(api: Api) -> None:
    query = "&".join(f"{number:x}" for number in range(11_000))
    before = cpu_seconds(api)

    answer = api.http.get(f"/v1/jobs?{query}")

    assert 400 == problem(answer)["status"]
    assert cpu_seconds(api) - before < 1


def test_under_abuse_of_every_kind_memory_stays_flat_and_nothing_is_left(api: Api) -> None:
    kinds: list[Callable[[Api], None]] = [nested, bombs, endless, huge_headers, gibberish, leavers, long_queries]
    for each in kinds:
        each(api)  # what a first time costs, it costs once
    before = rss(api)

    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(each, api) for each in kinds * 5]:
            done.result()

    assert rss(api) - before < FLAT_BYTES
    rows = select(func.count()).select_from(job_table)
    assert 0 == api.database.read(lambda connection: connection.execute(rows).scalar_one())
    assert [] == api.files()
    assert 200 == api.http.get("/health/ready").status_code


def nested(api: Api) -> None:
    for body in (b"[" * LIMIT_BYTES, job('{"a":' * 15_000), job("1" * 90_000), b'{"a":"\\ud800"}' * 5_000):
        assert 400 == api.http.post("/v1/jobs", content=body, headers=JSON).status_code


def bombs(api: Api) -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    for path in ("/v1/jobs", "/v1/jobs:batch", "/v1/files"):
        headers = {**JSON, "Content-Encoding": "gzip"}
        assert 415 == api.http.post(path, content=bomb, headers=headers).status_code


def endless(api: Api) -> None:
    for path in ("/v1/jobs", "/v1/files"):
        answer = api.http.post(path, content=(b" " * 65_536 for _ in range(100)), headers=JSON)
        assert 413 == answer.status_code


def huge_headers(api: Api) -> None:
    with Raw(api) as raw, suppress(OSError):
        for _ in range(500):
            raw.send("GET /health/live HTTP/1.1\r\nHost: x\r\nX: " + "x" * 4096)
    with Raw(api) as raw:
        raw.send("GET /" + "x" * 80_000)
        assert raw.answer().startswith("HTTP/1.1 431 ")


def gibberish(api: Api) -> None:
    for text in ("\x16\x03\x01" * 1000, "GET / HTTP/1.1\r\nX: a\rb\r\n\r\n", "\0" * 10_000, "GET\r\n\r\n"):
        with Raw(api) as raw:
            raw.send(text)
            assert raw.answer().startswith("HTTP/1.1 400 ")


def leavers(api: Api) -> None:
    for path in ("/v1/jobs", "/v1/jobs:batch", "/v1/files"):
        for _ in range(10):
            with Raw(api) as raw:
                raw.send(HEAD.format(path=path) + "x" * 500)


def long_queries(api: Api) -> None:
    for query in ("tag=" + "x" * 50_000, "page_token=" + "A" * 50_000, "&".join(f"a{n}" for n in range(8_000))):
        assert 400 == api.http.get(f"/v1/jobs?{query}").status_code


def rss(api: Api) -> int:
    return int(psutil.Process(api.process.pid).memory_info().rss)


def cpu_seconds(api: Api) -> float:
    used = psutil.Process(api.process.pid).cpu_times()
    return float(used.user + used.system)
