"""Claims about `docker compose up --build`: the order of starting, both queues, images, the demo, scaling, the end."""

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.servers.ports import free_ports

pytestmark = pytest.mark.timeout(1200)  # the first test also waits for the images, built from nothing

ROOT = Path(__file__).parents[2]
UP_LIMIT_SECONDS = 1000
OURS = ("api", "worker-cpu", "worker-io")
EVENT = '{{index .Actor.Attributes "com.docker.compose.service"}} {{.Action}} {{.Actor.Attributes.exitCode}}'

#: Prints its user and that of process 1, whether it could change its own code, and which of some packages are there.
LOOK_AROUND = """
import importlib.util, os, re, sys
packages = "dramatiq sklearn litestar hatchling uv pip".split()
print(os.getuid(), re.search(r"Uid:\\s+(\\d+)", open("/proc/1/status").read())[1], os.access(sys.prefix, os.W_OK))
found = {name: importlib.util.find_spec(name) for name in packages}
print(*[name for name, spec in found.items() if spec and spec.origin.startswith(sys.prefix)])
"""


EXAMPLE = ROOT / "examples" / "acme-tasks"

#: Prints which tasks of the example are known, and whether what they run is there.
KNOWS = """
import importlib.util
from offload_shared.tasks import registry
print(*sorted(name for name in registry() if name.startswith("acme-")), importlib.util.find_spec("PIL") is not None)
"""


@dataclass(frozen=True)
class Stack:
    """The services of compose.yaml under a project name of their own, so that nothing of anybody else's is touched."""

    project: str
    port: int
    happened: Path  # the engine's events of the project's containers, a line each

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def label(self) -> str:
        return f"label=com.docker.compose.project={self.project}"

    def compose(self, *arguments: str, check: bool = True) -> str:
        foreign = ("OFFLOAD_", "COMPOSE_")  # settings of the user's own stack
        environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        options = ("--project-name", self.project, "--project-directory", str(ROOT), "--env-file", os.devnull)
        done = subprocess.run(
            ["docker", "compose", *options, *arguments],
            check=False,
            env={**environment, "OFFLOAD_PORT": str(self.port)},
            capture_output=True,
            text=True,
            timeout=UP_LIMIT_SECONDS,
        )
        assert done.returncode == 0 or not check, f"{arguments}: {done.stdout[-1500:]}\n{done.stderr[-1500:]}"
        return done.stdout

    def up(self, *arguments: str) -> None:
        try:
            self.compose("up", "--wait", *arguments)
        except BaseException:
            print(self.compose("ps", "--all", check=False), self.compose("logs", "--tail", "30", check=False))
            raise

    def containers(self, template: str) -> list[str]:
        return docker("ps", "--all", "--filter", self.label, "--format", template).splitlines()

    def events(self) -> list[str]:
        return [line.removesuffix("<no value>").strip() for line in self.happened.read_text().splitlines()]


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True, timeout=60).stdout


@pytest.fixture(scope="module")
def engine() -> str:
    """Give the version of the Docker engine; only where none answers are the tests skipped."""
    try:
        return docker("version", "--format", "{{.Server.Version}}").strip()
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or error
        pytest.skip(f"compose.yaml was not tried: no Docker engine answers ({str(said).strip()})")


@pytest.fixture(scope="module")
def stack(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Give all services, built and healthy; whatever happens, nothing of them is left."""
    happened = tmp_path_factory.mktemp("compose") / "events"
    stack = Stack(f"offload-test-{uuid.uuid4().hex[:12]}", free_ports(1)[0], happened)
    with recorded_events(stack):
        try:
            stack.up("--build")
            yield stack
        finally:
            stack.compose("down", "--volumes", "--rmi", "local", "--remove-orphans", "--timeout", "5")
    assert [] == stack.containers("{{.Names}}")


@contextmanager
def recorded_events(stack: Stack) -> Iterator[None]:
    """Write the events down as they happen: the engine remembers a few hundred, and each health check makes three."""
    wanted = [f"--filter=event={event}" for event in ("start", "die", "health_status")]
    command = ["docker", "events", "--filter", stack.label, *wanted, "--since=1s", "--format", EVENT]
    with stack.happened.open("w") as happened, subprocess.Popen(command, stdout=happened) as listener:
        try:
            yield
        finally:
            listener.terminate()


@pytest.fixture(scope="module")
def api(stack: Stack) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=stack.url, timeout=60, trust_env=False) as client:
        yield client


def result(api: httpx2.Client, task: str, payload: dict[str, Any]) -> dict[str, Any]:
    """Submit a job, wait for its end, and give its result."""
    submitted = api.post("/v1/jobs", json={"task": task, "payload": payload})
    assert 202 == submitted.status_code, submitted.text
    url = submitted.headers["Location"]
    assert within(120, lambda: api.get(url).json()["state"] in ("succeeded", "failed")), url
    assert "succeeded" == api.get(url).json()["state"], api.get(url).text
    found: dict[str, Any] = api.get(f"{url}/result").json()
    return found


def within(seconds: float, holds: Callable[[], bool]) -> bool:
    ends = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > ends:
            return False
        time.sleep(0.1)
    return True


def test_every_service_starts_healthy_and_in_order(stack: Stack) -> None:
    events = stack.events()

    def first(event: str) -> int:
        assert event in events, events
        return events.index(event)

    assert first("postgres health_status: healthy") < first("migrate start")
    for service in OURS:
        assert first("migrate die 0") < first(f"{service} start") < first(f"{service} health_status: healthy")
    for worker in ("worker-cpu", "worker-io"):
        assert first("rabbitmq health_status: healthy") < first(f"{worker} start")


def test_the_api_reaches_its_store_and_its_broker(api: httpx2.Client) -> None:
    ready = api.get("/health/ready").json()

    assert ("ok", "ok") == (ready["store"], ready["broker"])


def test_only_the_api_can_be_reached_and_from_this_host_alone(stack: Stack) -> None:
    ports = stack.containers('{{.Label "com.docker.compose.service"}} {{.Ports}}')

    assert [f"api 127.0.0.1:{stack.port}->8000/tcp"] == [line for line in ports if "->" in line]


def test_a_job_of_the_io_queue_runs(api: httpx2.Client) -> None:
    assert {"text": "there and back"} == result(api, "echo", {"text": "there and back"})


def test_a_job_of_the_cpu_queue_trains_on_an_uploaded_table(api: httpx2.Client) -> None:
    table = "size,kind\n" + "".join(f"{size},{'large' if size > 9 else 'small'}\n" for size in [*range(20)] * 10)
    uploaded = api.post("/v1/files", content=table.encode(), headers={"Content-Type": "text/csv"})
    assert 201 == uploaded.status_code, uploaded.text

    trained = result(api, "train-model", {"file_id": uploaded.json()["id"], "target": "kind"})

    assert "classification" == trained["kind"]
    assert trained["scores"]["accuracy"] > 0.9


@pytest.mark.parametrize(
    ("service", "packages", "most_megabytes"), [("api", "litestar", 200), ("worker-cpu", "dramatiq sklearn", 850)]
)
def test_an_image_is_small_and_not_run_by_root(stack: Stack, service: str, packages: str, most_megabytes: int) -> None:
    user, found = stack.compose("exec", "-T", service, "python3", "-c", LOOK_AROUND).splitlines()
    size = int(stack.compose("exec", "-T", service, "du", "-sm", "/opt/offload").split()[0])

    assert "10001 10001 False" == user
    assert packages == found
    assert size < most_megabytes


@pytest.mark.parametrize("worker", ["worker-cpu", "worker-io"])
def test_nothing_that_runs_beside_a_worker_can_read_its_passwords(stack: Stack, worker: str) -> None:
    read = "try: print(open('/proc/1/environ').read())\nexcept PermissionError: print('refused')"

    assert "refused" == stack.compose("exec", "-T", worker, "python3", "-c", read).strip()


def test_a_worker_reaps_what_loses_its_parent(stack: Stack) -> None:
    stack.compose("exec", "-T", "worker-cpu", "sh", "-c", "setsid sleep 0.1 & exit")
    count = "import psutil; print(sum(each.status() == psutil.STATUS_ZOMBIE for each in psutil.process_iter()))"

    def zombies() -> int:
        return int(stack.compose("exec", "-T", "worker-cpu", "python3", "-c", count))

    assert within(60, lambda: zombies() == 0)


def test_the_demo_passes_against_it(stack: Stack, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "demo", "--url", stack.url],
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
    )

    assert 0 == done.returncode, done.stdout + done.stderr


def test_three_workers_share_the_cpu_queue(stack: Stack, api: httpx2.Client) -> None:
    stack.up("--no-recreate", "--scale", "worker-cpu=3")

    def consumers() -> list[str]:
        listed = stack.compose("exec", "-T", "rabbitmq", "rabbitmqctl", "-q", "list_queues", "name", "consumers")
        return sorted(" ".join(line.split()) for line in listed.splitlines() if line.startswith("offload."))

    assert within(30, lambda: ["offload.cpu 3", "offload.io 1"] == consumers()), consumers()
    assert {"text": "still there"} == result(api, "echo", {"text": "still there"})


def test_everything_of_ours_ends_in_order_when_told_to(stack: Stack) -> None:
    services = stack.containers('{{.Label "com.docker.compose.service"}}')
    expected = sorted(f"{service} die 0" for service in services if service in OURS)
    before = len(stack.events())

    stack.compose("stop", *OURS)

    def ends() -> list[str]:
        return sorted(event for event in stack.events()[before:] if " die" in event)

    assert within(10, lambda: len(ends()) == len(expected)), ends()
    assert expected == ends()


@pytest.mark.parametrize(("target", "service", "runs"), [("api", "api", False), ("worker", "worker-cpu", True)])
def test_a_teams_image_is_made_on_top_of_ours_and_knows_its_tasks(
    stack: Stack, target: str, service: str, runs: bool
) -> None:
    tag = f"{stack.project}-acme-{target}"
    base = f"{target.upper()}={stack.project}-{service}"
    build = ["docker", "build", "--target", target, "--build-arg", base, "--tag", tag, str(EXAMPLE)]
    done = subprocess.run(build, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    try:
        said = docker("run", "--rm", "--entrypoint", "python3", tag, "-c", KNOWS)
    finally:
        docker("rmi", "--force", tag)

    assert f"acme-tell-chat acme-thumbnails {runs}" == said.strip()
