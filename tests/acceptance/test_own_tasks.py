"""A team's own package: installed as its README says, its own tests run with what we ship for them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "acme-tasks"


@pytest.fixture
def installed(tmp_path: Path) -> dict[str, str]:
    """Install the example in a folder of its own; returns the environment in which it is found."""
    package = tmp_path / "package"
    uv = [str(Path(sys.executable).with_name("uv")), "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    source = tmp_path / "acme-tasks"
    shutil.copytree(EXAMPLE, source)
    subprocess.run([*uv, "--python", sys.executable, "--target", str(package), str(source)], check=True)
    return {**os.environ, "PYTHONPATH": str(package)}


def run(environment: dict[str, str], *command: str) -> str:
    binary = str(Path(sys.executable).with_name(command[0]))
    done = subprocess.run(
        [binary, *command[1:]], cwd=EXAMPLE, env=environment, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def test_the_example_passes_its_own_tests_alone_and_through_the_services_on_all_parts(
    installed: dict[str, str], postgres_url: str, amqp_url: str
) -> None:
    servers = ("--offload-store-url", postgres_url, "--offload-broker-url", amqp_url)

    said = run(installed, "pytest", "-q", "-p", "no:cacheprovider", *servers)

    assert "13 passed" in said


def test_the_examples_schemas_are_those_that_it_keeps(installed: dict[str, str]) -> None:
    assert "" == run(installed, "offload-tasks", "check", "schemas", "--of", "acme_tasks")
