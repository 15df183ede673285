"""A client that a public generator makes of the OpenAPI document, and what a program written on it can do."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.stack import Stack

REQUIREMENTS = Path(__file__).parents[2] / "requirements" / "generator.txt"

PROGRAM = """
import sys

from offload_client import Client
from offload_client.api.files import upload_file
from offload_client.api.jobs import cancel_job, get_job, get_result, list_jobs, submit_job
from offload_client.api.keys import create_key, list_keys
from offload_client.models import Echo, JobView, NewKey, ProblemDetails, SubmitEcho
from offload_client.types import File

client = Client(base_url=sys.argv[1], timeout=60)

submitted = submit_job.sync(
    client=client,
    body=SubmitEcho.from_dict({"task": "echo", "payload": {"text": "from a generated client"}, "tags": ["generated"]}),
    idempotency_key="generated-1",
)
assert isinstance(submitted, JobView), submitted

job = submitted
while job.finished_at is None:
    waited = get_job.sync_detailed(job_id=job.id, client=client, prefer="wait=30")
    assert isinstance(waited.parsed, JobView), waited
    job = waited.parsed
assert job.state == "succeeded", job

result = get_result.sync(job_id=job.id, client=client)
assert result.to_dict() == {"text": "from a generated client"}, result

listed = list_jobs.sync(client=client, tag="generated", page_size=1)
assert [each.id for each in listed.jobs] == [job.id], listed

late = cancel_job.sync(job_id=job.id, client=client)
assert isinstance(late, ProblemDetails), late
assert late.type_ == "/problems/job-finished", late

wrong = submit_job.sync(client=client, body=SubmitEcho.from_dict({"task": "echo", "payload": {}, "priority": 99}))
assert [each.pointer for each in wrong.errors] == ["/priority"], wrong

made = {create_key.sync(client=client, body=NewKey.from_dict({"scopes": ["read"]})).id for _ in range(2)}
first = list_keys.sync(client=client, page_size=1)
second = list_keys.sync(client=client, page_size=1, page_token=first.next_page_token)
assert {first.keys[0].id, second.keys[0].id} == made, (made, first, second)

print(result.text)
"""


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment of its own for the generator: what it asks for does not go with what the services do."""
    folder = tmp_path_factory.mktemp("generator") / "venv"
    uv = Path(sys.executable).with_name("uv")
    run(uv, "venv", "--quiet", "--python", sys.executable, folder)
    environment = {"VIRTUAL_ENV": str(folder)}
    run(uv, "pip", "sync", "--quiet", "--require-hashes", REQUIREMENTS, environment=environment)
    return folder / "bin"


def test_a_generated_client_submits_a_job_and_follows_it_to_its_result(
    services: Stack, generator: Path, tmp_path: Path
) -> None:
    document = tmp_path / "openapi.json"
    document.write_bytes(services.ask("GET", "/schema/openapi.json").content)
    path = {"PATH": f"{generator}{os.pathsep}{os.environ['PATH']}"}
    made = run(
        *(generator / "openapi-python-client", "generate", "--path", document, "--output-path", tmp_path / "client"),
        environment=path,
    )
    program = tmp_path / "client" / "program.py"
    program.write_text(PROGRAM)

    said = run(generator / "python", program, services.http.base_url, environment=path)

    assert "warning" not in made.lower(), made
    assert "from a generated client" in said


def run(*command: object, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert 0 == done.returncode, f"{command}:\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr
