"""What a worker does for a tenant that has a name: its jobs read its files, and what they leave behind is its own."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.conftest import EMBEDDED_AND_WHOLE, combination
from tests.acceptance.stack import Stack
from tests.api import problem

TENANT, OTHER = "acme.eu-1_x", "other"
TASKS = ("probe", "probe-thread", "probe-event-loop")


@pytest.fixture(scope="module", params=EMBEDDED_AND_WHOLE)
def services(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """An API that asks for keys and a worker, which the tests of a module share."""
    with combination(request.param, request, tmp_path_factory.mktemp("services")) as made:
        made.environment["OFFLOAD_AUTH"] = "keys"
        made.start_api()
        made.start_worker()
        yield made


@pytest.fixture(scope="module")
def keys(services: Stack) -> dict[str, str]:
    """The Authorization header of each tenant."""
    return {tenant: f"Bearer {make_key(services, tenant)}" for tenant in (TENANT, OTHER)}


def make_key(services: Stack, tenant: str) -> str:
    scopes = [word for scope in ("submit", "read", "cancel") for word in ("--scope", scope)]
    command = [str(Path(sys.executable).with_name("offload-api")), "keys", "create", "--tenant", tenant, *scopes]
    made = subprocess.run(
        command, env=services.environment, cwd=services.folder, capture_output=True, text=True, timeout=60, check=True
    )
    return str(made.stdout.strip())


def be(services: Stack, authorization: str) -> None:
    """Send every further request with this key."""
    services.http.headers["Authorization"] = authorization


@pytest.mark.parametrize("task", TASKS)
def test_a_job_reads_a_file_of_its_tenant_and_of_no_other(services: Stack, keys: dict[str, str], task: str) -> None:
    be(services, keys[OTHER])
    theirs = services.upload(b"theirs")
    be(services, keys[TENANT])
    mine = services.upload(b"mine")

    read, refused = (services.submit(task, {"action": "read-file", "file_id": each}) for each in (mine, theirs))

    assert "mine" == services.result(read)["note"]
    error = services.ended(refused)["error"]
    assert "/problems/job-rejected" == error["type"]
    assert "there is no file" in error["detail"]


@pytest.mark.parametrize("task", TASKS)
def test_what_a_job_leaves_behind_is_its_tenants_to_read_and_to_remove(
    services: Stack, keys: dict[str, str], task: str
) -> None:
    be(services, keys[TENANT])
    job_id = services.submit(task, {"action": "artifact", "note": "to keep"})
    [artifact] = services.ended(job_id)["artifacts"]
    left = ("", "/result", "/output", "/artifacts/note.txt")

    be(services, keys[OTHER])
    for path in left:
        answer = services.ask("GET", f"/v1/jobs/{job_id}{path}")
        assert (404, "/problems/not-found") == (answer.status_code, problem(answer)["type"])
    assert 404 == services.ask("DELETE", f"/v1/jobs/{job_id}").status_code

    be(services, keys[TENANT])
    assert [200] * len(left) == [services.ask("GET", f"/v1/jobs/{job_id}{path}").status_code for path in left]
    assert b"to keep" == services.ask("GET", artifact["href"]).content
    assert 204 == services.ask("DELETE", f"/v1/jobs/{job_id}").status_code
    assert 404 == services.ask("GET", artifact["href"]).status_code
