import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from offload_shared.settings import without_password
from tests.acceptance.stack import Stack, until

COMMANDS = ["offload-api", "offload-worker"]


def start(command: str, folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OFFLOAD_")}
    return subprocess.run(
        [Path(sys.executable).with_name(command), *arguments],
        env={**environment, "OFFLOAD_DATA_DIR": str(folder), **settings},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OFFLOAD_LEASE_SECONDS", "soon"),
        ("OFFLOAD_BROKER_URL", "http://localhost"),
        ("OFFLOAD_ARTIFACTS_URL", "file:///proc/none"),
        ("OFFLOAD_STORE_URL", "postgresql+psycopg://nobody@127.0.0.1:1/none"),
        ("OFFLOAD_STORE_URL", "sqlite:////proc/none/offload.db"),
        ("OFFLOAD_STORE_URL", "postgresql://me:secret@127.0.0.1/d?port=x"),
        ("OFFLOAD_STORE_URL", "postgresql://me:secret@127.0.0.1/d?foo=bar"),
        ("OFFLOAD_BROKER_URL", "amqp://me:secret@h:port/"),
        ("OFFLOAD_BROKER_URL", "amqp://me:secret@[h/"),
    ],
)
def test_a_wrong_setting_stops_the_start_with_one_sentence(
    command: str, variable: str, value: str, tmp_path: Path
) -> None:
    ended = start(command, tmp_path, **{variable: value})

    assert 1 == ended.returncode
    assert 1 == len(ended.stderr.splitlines()), ended.stderr
    assert ended.stderr.startswith(f"{command}: ")
    assert "secret" not in ended.stderr
    if variable != "OFFLOAD_STORE_URL":
        assert without_password(value) in ended.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_help_names_the_options(command: str, tmp_path: Path) -> None:
    ended = start(command, tmp_path, "--help")

    expected = {"offload-api": ["--host", "--port"], "offload-worker": ["--queue", "--slots"]}[command]
    assert 0 == ended.returncode
    assert [] == [option for option in expected if option not in ended.stdout]


def test_a_worker_whose_health_port_is_taken_says_so_before_it_takes_a_job(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = start("offload-worker", tmp_path, "--queue", "io", OFFLOAD_HEALTH_PORT=str(port))

    assert 1 == ended.returncode
    where = f"OFFLOAD_HEALTH_HOST is '127.0.0.1' and OFFLOAD_HEALTH_PORT {port}"
    assert f"offload-worker: {where}: cannot listen there: Address already in use\n" == ended.stderr


def test_a_worker_refuses_a_queue_that_no_task_uses(tmp_path: Path) -> None:
    ended = start("offload-worker", tmp_path, "--queue", "gpu")

    assert "offload-worker: there is no queue 'gpu'; the tasks known here use: cpu, io, probe\n" == ended.stderr


@pytest.mark.parametrize("stack", ["sqlite"], indirect=True)
def test_a_broker_that_cannot_be_reached_is_said_once_and_shown_and_jobs_are_accepted(stack: Stack) -> None:
    stack.environment["OFFLOAD_BROKER_URL"] = "amqp://guest:guest@127.0.0.1:1/"
    api = stack.start_api()
    worker = stack.start_worker()

    job_ids = [stack.submit("echo") for _ in range(3)]

    worker.says("is not available")
    until(lambda: "unreachable" == stack.http.get("/health/ready").json()["broker"], "the broker seen as down")
    assert {"queued"} == {stack.job(job_id)["state"] for job_id in job_ids}
    assert 1 == api.log.read_text().count("WARNING")
    assert 1 == worker.log.read_text().count("WARNING")
