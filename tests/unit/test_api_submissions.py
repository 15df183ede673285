"""What becomes of a submitted body."""

import hashlib
import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from offload_api.services import assemble
from offload_api.settings import ApiSettings
from offload_api.submissions import Submissions
from offload_shared.artifacts import Artifacts
from offload_shared.store.database import Database
from offload_shared.tasks.echo import ECHO
from offload_shared.tasks.train_model import TRAIN_MODEL

ECHO_BODY = json.dumps({"task": "echo", "payload": {}}).encode()


def test_an_operators_bound_holds_for_a_tasks_own_default() -> None:
    strict = ApiSettings(max_timeout_seconds=5, max_memory_limit_mb=64, max_cpu_limit_seconds=3, max_attempts_limit=2)

    job = Submissions({"echo": ECHO}, strict).decode(ECHO_BODY, None)

    assert (5, 64, 2) == (job.timeout_seconds, job.memory_limit_mb, job.max_attempts)


def test_the_catalogue_tells_of_the_limits_that_jobs_get(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/offload.db")
    artifacts = Artifacts(tmp_path.as_uri())

    services = assemble(ApiSettings(max_timeout_seconds=5), {"echo": ECHO}, database, artifacts, None)

    assert 5 == services.tasks["echo"].timeout_seconds
    services.store.close()


@pytest.mark.parametrize(("default", "held"), [(60.0, 3), (2.0, 2), (None, None)])
def test_an_operators_bound_lowers_a_tasks_limit_of_processor_time_and_makes_none_up(
    default: float | None, held: float | None
) -> None:
    task = replace(ECHO, cpu_limit_seconds=default)

    job = Submissions({"echo": task}, ApiSettings(max_cpu_limit_seconds=3)).decode(ECHO_BODY, None)

    assert held == job.cpu_limit_seconds


def test_without_a_lower_bound_a_job_has_its_tasks_limits() -> None:
    job = Submissions({"echo": ECHO, "train-model": TRAIN_MODEL}, ApiSettings()).decode(ECHO_BODY, None)

    expected = (ECHO.timeout_seconds, ECHO.memory_limit_mb, ECHO.cpu_limit_seconds, ECHO.max_attempts)
    assert expected == (job.timeout_seconds, job.memory_limit_mb, job.cpu_limit_seconds, job.max_attempts)


def test_a_fingerprint_does_not_change_with_options_that_a_later_version_adds() -> None:
    body = b'{"task": "echo", "payload": {"text": "a"}, "priority": 3}'

    new = Submissions({"echo": ECHO}, ApiSettings()).decode(body, "key")

    said = b'{"payload":{"text":"a"},"priority":3,"task":"echo"}'  # no default of any field
    assert hashlib.sha256(said).hexdigest() == new.fingerprint


def test_a_job_that_is_run_again_is_held_to_what_the_operator_allows_now() -> None:
    loose, strict = ({"echo": ECHO}, ApiSettings()), ({"echo": ECHO}, ApiSettings(max_timeout_seconds=5))
    old = Submissions(*loose).decode(b'{"task": "echo", "payload": {}, "timeout_seconds": 50}', None)

    assert 5 == Submissions(*strict).renewed(old).timeout_seconds
