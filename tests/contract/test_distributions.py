"""Claims about the wheels: what each service's own environment holds, and what importing from it does."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(900)  # the first use of an environment fetches and installs its requirements

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")
SERVICES = ("api", "worker")

#: Imports every module of the packages that are its arguments, and prints each connection that one opened meanwhile.
IMPORT_ALL = """
import importlib, pkgutil, sys, psycopg

EVENTS = {"socket.connect", "socket.sendto", "socket.getaddrinfo", "sqlite3.connect"}
sys.addaudithook(lambda event, arguments: event in EVENTS and print("opened:", event))
psycopg.connect = psycopg.Connection.connect = lambda *_, **__: print("opened: psycopg.connect")  # in C, not audited

modules = 0
for name in sys.argv[1:]:
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, f"{name}."):
        importlib.import_module(module.name)
        modules += 1
print("imported:", modules)
"""


def run(*command: object, env: dict[str, str] | None = None) -> str:
    # Nothing of this checkout's packages, which the tests' own environment can import, gets in by the environment.
    foreign = ("OFFLOAD_", "PYTHON", "VIRTUAL")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    words = [str(word) for word in command]
    done = subprocess.run(words, check=False, env=clean | (env or {}), cwd="/", capture_output=True, text=True)
    assert 0 == done.returncode, f"{words} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with the three wheels, built as a release builds them."""
    folder = tmp_path_factory.mktemp("wheels")
    build = [UV, "build", "--quiet", "--wheel", "--no-build-isolation", "--python", sys.executable, "--out-dir", folder]
    for source in ("shared", *(f"services/{service}" for service in SERVICES)):
        run(*build, ROOT / source)
    return folder


@pytest.fixture(scope="module", params=SERVICES)
def service(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def environment(service: str, wheels: Path) -> Iterator[Path]:
    """Give an environment as the service's image has it: its hashed requirements, and the wheels."""
    # Not one of pytest's folders, of which the last three are kept: the worker's libraries are large.
    with tempfile.TemporaryDirectory(prefix=f"offload-{service}-") as folder:
        run(UV, "venv", "--quiet", "--clear", "--python", sys.executable, folder)
        install = [UV, "pip", "install", "--quiet", "--python", folder]
        run(*install, "--require-hashes", "-r", ROOT / f"requirements/{service}.txt")
        own = [next(wheels.glob(f"offload_{name}-*.whl")) for name in ("shared", service)]
        run(*install, "--no-deps", "--no-index", *own)
        yield Path(folder)


def installed(environment: Path) -> set[str]:
    listed = run(UV, "pip", "freeze", "--python", environment)
    return {line.split("==")[0].split(" @ ")[0] for line in listed.splitlines()}


def test_an_environment_holds_nothing_of_the_other_services_framework(service: str, environment: Path) -> None:
    own = {"api": {"litestar"}, "worker": {"dramatiq", "scikit-learn"}}
    [other] = own.keys() - {service}
    packages = installed(environment)

    assert own[service] | {"offload-shared", f"offload-{service}"} <= packages
    assert not packages & (own[other] | {f"offload-{other}"})


def test_the_hashed_requirements_are_all_that_a_wheel_asks_for(environment: Path) -> None:
    run(UV, "pip", "check", "--python", environment)


def test_a_services_command_explains_itself(service: str, environment: Path) -> None:
    assert f"offload-{service} [OPTIONS]" in run(environment / "bin" / f"offload-{service}", "--help")


def test_the_migrations_are_in_the_wheel(environment: Path, tmp_path: Path) -> None:
    said = run(environment / "bin" / "offload-migrate", env={"OFFLOAD_DATA_DIR": str(tmp_path)})

    assert "offload-migrate: the store's schema is up to date\n" == said
    assert (tmp_path / "offload.db").exists()


def test_importing_a_service_opens_no_connection(service: str, environment: Path) -> None:
    printed = run(environment / "bin" / "python", "-c", IMPORT_ALL, "offload_shared", f"offload_{service}")

    [imported] = printed.splitlines()
    assert int(imported.removeprefix("imported: ")) > 20


@pytest.mark.parametrize(
    ("statement", "event"),
    [
        ("import sqlite3; sqlite3.connect(':memory:').close()", "sqlite3.connect"),
        ("import socket; socket.socket(type=socket.SOCK_DGRAM).connect(('127.0.0.1', 9))", "socket.connect"),
        ("import psycopg; psycopg.connect('host=127.0.0.1')", "psycopg.connect"),
    ],
    ids=["sqlite", "socket", "postgresql"],
)
def test_a_connection_that_an_import_opens_is_noticed(tmp_path: Path, statement: str, event: str) -> None:
    (tmp_path / "eager").mkdir()
    (tmp_path / "eager" / "__init__.py").touch()
    (tmp_path / "eager" / "store.py").write_text(statement)

    printed = run(sys.executable, "-c", IMPORT_ALL, "eager", env={"PYTHONPATH": str(tmp_path)})

    assert [f"opened: {event}", "imported: 1"] == printed.splitlines()
