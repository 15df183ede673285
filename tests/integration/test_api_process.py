"""The API as a process: how it starts, stands the loss of what it needs, and ends."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from offload_shared.job import JobState
from offload_shared.store import jobs
from tests.acceptance.stack import until
from tests.api import Api, problem, running_api
from tests.servers.session import Servers


def run_to_the_end(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command that is to fail at its start."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OFFLOAD_")}
    environment |= {f"OFFLOAD_{name.upper()}": value for name, value in settings.items()}
    binary = Path(sys.executable).with_name("offload-api")
    return subprocess.run(
        [binary, *arguments], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


BROKEN_SETTINGS = {
    "a port that is no number": ({"port": "http"}, "OFFLOAD_PORT is 'http'"),
    "a port that is none": ({"port": "70000"}, "OFFLOAD_PORT is '70000'"),
    "a limit of nothing": ({"max_body_bytes": "0"}, "OFFLOAD_MAX_BODY_BYTES is '0'"),
    "another database": ({"store_url": "mysql://u:secret@h/d"}, "OFFLOAD_STORE_URL is 'mysql://u:***@h/d'"),
    "a database's port that is none": (
        {"store_url": "postgresql://h:port/d"},
        "the store's URL 'postgresql+psycopg://h",
    ),
    "a database in memory": ({"store_url": "sqlite://"}, "the store's URL 'sqlite://' names no file"),
    "a broker that is none": ({"broker_url": "redis://h"}, "OFFLOAD_BROKER_URL is 'redis://h'"),
    "a broker's port that is none": ({"broker_url": "amqp://h:port/"}, "OFFLOAD_BROKER_URL is 'amqp://h:port/'"),
}


@pytest.mark.parametrize(("settings", "sentence"), BROKEN_SETTINGS.values(), ids=BROKEN_SETTINGS.keys())
def test_a_malformed_setting_stops_the_start_with_a_sentence_that_shows_it(
    tmp_path: Path, settings: dict[str, str], sentence: str
) -> None:
    ended = run_to_the_end(**{"data_dir": str(tmp_path), **settings})

    assert ended.returncode == 1
    assert ended.stderr.startswith(f"offload-api: {sentence}")
    assert 1 == ended.stderr.count("\n")


def test_a_store_that_is_not_there_stops_the_start_with_a_sentence(tmp_path: Path) -> None:
    ended = run_to_the_end(data_dir=str(tmp_path), store_url="postgresql://u:secret@127.0.0.1:1/d")

    assert ended.returncode == 1
    assert ended.stderr.startswith("offload-api: the store is not available: ")
    assert "secret" not in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_port_that_is_taken_stops_the_start_with_a_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run_to_the_end("--port", str(port), data_dir=str(tmp_path))

    assert ended.returncode == 1
    assert f"offload-api: cannot listen on 127.0.0.1 port {port}: Address already in use" in ended.stderr


def test_importing_the_service_connects_to_nothing_and_makes_nothing(tmp_path: Path) -> None:
    code = "import offload_api.main, threading, os; print(threading.active_count(), os.listdir('.'))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)

    assert "1 []\n" == done.stdout


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with running_api(tmp_path) as running:
        yield running


def test_without_settings_the_api_is_ready_and_embedded(api: Api) -> None:
    assert {"status": "ok"} == api.http.get("/health/live").json()
    assert {"status": "ok", "store": "ok", "broker": "embedded"} == api.http.get("/health/ready").json()


def test_sigterm_answers_what_is_in_flight_and_ends_at_once(api: Api) -> None:
    job_id = api.submit()["id"]
    with ThreadPoolExecutor(5) as threads:
        waiting = [
            threads.submit(api.http.get, f"/v1/jobs/{job_id}{path}", headers={"Prefer": "wait=30"})
            for path in ("", "", "/output", "/output", "/result")
        ]
        until(lambda: connections(api) >= 5, "five requests under way")
        assert not any(request.done() for request in waiting)
        started = time.monotonic()
        api.process.send(signal.SIGTERM)
        answers = [request.result() for request in waiting]

    assert 0 == api.process.wait()
    assert time.monotonic() - started < 5
    assert [200, 200, 200, 200, 404] == [answer.status_code for answer in answers]
    assert ["queued", "queued"] == [answer.json()["state"] for answer in answers[:2]]


def test_clients_that_leave_while_they_wait_leave_nothing_behind(api: Api) -> None:
    job_id = api.submit()["id"]
    for _ in range(50):
        with socket.create_connection(("127.0.0.1", api.port)) as client:
            client.sendall(f"GET /v1/jobs/{job_id} HTTP/1.1\r\nHost: x\r\nPrefer: wait=30\r\n\r\n".encode())

    until(lambda: connections(api) <= 1, "the end of all connections but the test's own", seconds=10)


def connections(api: Api) -> int:
    found = psutil.Process(api.process.pid).net_connections("tcp")
    return sum(each.status != psutil.CONN_LISTEN for each in found)


def test_two_apis_on_one_store_see_each_others_jobs_change(tmp_path: Path, postgres_url: str) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    with running_api(tmp_path / "one", postgres_url) as one, running_api(tmp_path / "other", postgres_url) as other:
        job_id = one.submit()["id"]
        with ThreadPoolExecutor(1) as threads:
            waiting = threads.submit(other.http.get, f"/v1/jobs/{job_id}/result", headers={"Prefer": "wait=20"})
            one.succeed(job_id, b'{"text":"there"}')

            assert {"text": "there"} == waiting.result().json()


def test_without_its_store_the_api_answers_503_in_time_and_recovers(
    tmp_path: Path, servers: Servers, postgres_url: str
) -> None:
    with running_api(tmp_path, postgres_url) as api:
        job_id = api.submit()["id"]
        body = {"task": "echo", "payload": {}}
        requests: list[tuple[str, str, Any]] = [
            ("POST", "/v1/jobs", body),
            ("GET", f"/v1/jobs/{job_id}", None),
            ("POST", f"/v1/jobs/{job_id}/cancel", None),
        ]
        with servers.postgresql.down():
            for method, path, json in requests:
                started = time.monotonic()
                answer = api.http.request(method, path, json=json)
                assert (503, "/problems/unavailable") == (answer.status_code, problem(answer)["type"])
                assert int(answer.headers["retry-after"]) > 0
                assert time.monotonic() - started < 3
            ready = api.http.get("/health/ready")
            assert (503, "unreachable") == (ready.status_code, ready.json()["store"])
            assert 200 == api.http.get("/health/live").status_code

        assert job_id == api.job(job_id)["id"]
        assert 202 == api.http.post("/v1/jobs", json=body).status_code


def test_every_202_around_a_crash_of_the_store_is_a_job_in_it(
    tmp_path: Path, servers: Servers, postgres_url: str
) -> None:
    with running_api(tmp_path, postgres_url) as api:
        stop = threading.Event()
        with ThreadPoolExecutor(8) as threads:
            submitters = [threads.submit(submit_with_repeats, api, stop, number) for number in range(8)]
            servers.postgresql.kill()
            servers.postgresql.start()
            until(lambda: api.http.get("/health/ready").status_code == 200, "the store to be back")
            stop.set()
            accepted = [job_id for each in submitters for job_id in each.result()]

        assert len(accepted) == len(set(accepted))
        found = [jobs.get(api.database, job_id) for job_id in accepted]
        assert {JobState.QUEUED} == {job.state if job else None for job in found}


def submit_with_repeats(api: Api, stop: threading.Event, number: int) -> list[str]:
    """Submit jobs one after the other, each again with its key until it is accepted."""
    accepted: list[str] = []
    while not stop.is_set():
        headers = {"Idempotency-Key": f"{number}-{len(accepted)}"}
        answer = api.http.post("/v1/jobs", json={"task": "echo", "payload": {}}, headers=headers)
        while answer.status_code == httpx2.codes.SERVICE_UNAVAILABLE:
            answer = api.http.post("/v1/jobs", json={"task": "echo", "payload": {}}, headers=headers)
        assert answer.status_code == httpx2.codes.ACCEPTED
        accepted.append(answer.json()["id"])
    return accepted
