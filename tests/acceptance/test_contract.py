"""The service against its own OpenAPI document, tried by Schemathesis: whatever fits it is taken, nothing else is."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import EMBEDDED_AND_WHOLE, combination

HERE = Path(__file__).parent / "contract"
#: Another is tried with OFFLOAD_TEST_SEED; a failure says which one found it.
SEED = os.environ.get("OFFLOAD_TEST_SEED", "4711")


def without_probes(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document without the tasks of the tests' own, which end processes on purpose."""
    for union in ("Submission", "ScheduledJob"):
        body = document["components"]["schemas"][union]
        kept = {name: ref for name, ref in body["discriminator"]["mapping"].items() if not name.startswith("probe")}
        body["discriminator"]["mapping"] = kept
        body["oneOf"] = [each for each in body["oneOf"] if each["$ref"] in kept.values()]
    batch = document["components"]["schemas"]["Batch"]["properties"]["jobs"]
    batch["items"] = {"$ref": "#/components/schemas/Submission"}
    return document


@pytest.mark.parametrize("surroundings", EMBEDDED_AND_WHOLE)
def test_the_service_keeps_to_its_document(surroundings: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    with combination(surroundings, request, tmp_path) as stack:
        stack.environment["OFFLOAD_STORE_ANSWER_SECONDS"] = "30"  # else 503 on a busy machine, and rightly
        stack.start_api()
        stack.start_worker("--queue", "io")
        document = without_probes(stack.ask("GET", "/schema/openapi.json").json())
        described = tmp_path / "openapi.json"
        described.write_text(json.dumps(document))

        tried = schemathesis(tmp_path, str(described), "--url", str(stack.http.base_url))

    said = tried.stdout + tried.stderr
    assert 0 == tried.returncode, f"{said}\n\nAgain: OFFLOAD_TEST_SEED={SEED}"
    assert "Exception in thread" not in said, said
    report = json.loads((tmp_path / "report.json").read_text())
    assert {"success"} == {phase["status"] for phase in report["phases"].values()}, said
    assert report["operations"]["total"] == report["operations"]["tested"]


def schemathesis(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [
        *(str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(HERE / "schemathesis.toml"), "run"),
        *("--seed", SEED, "--no-color", "--report", "json", "--report-json-path", str(folder / "report.json")),
        *arguments,
    ]
    hooks = {"SCHEMATHESIS_HOOKS": "tests.acceptance.contract.hooks", "PYTHONPATH": str(HERE.parents[2])}
    return subprocess.run(command, cwd=folder, env=os.environ | hooks, capture_output=True, text=True, check=False)
