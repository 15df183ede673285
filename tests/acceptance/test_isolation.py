"""Claims about jobs that share a warm process one after another: none finds anything of the one before."""

import os
import signal
from collections.abc import Iterator

import psutil
import pytest

from tests.acceptance.conftest import EMBEDDED_AND_WHOLE, combination
from tests.acceptance.stack import Stack, gone, until

LONG = 100_000
DISTURBANCES = (
    "temporary folder",
    "alarm",
    "signal",
    "limit",
    "environment",
    "umask",
    "nice",
    "closed stream",
    "closed descriptor",
    "replaced stream",
    "thread",
    "working folder",
)


@pytest.fixture(scope="module", params=EMBEDDED_AND_WHOLE)
def services(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """An API and a worker of one slot, so that each job finds what the one before has left."""
    with combination(request.param, request, tmp_path_factory.mktemp("services")) as made:
        made.start_api()
        made.start_worker("--slots", "1")
        yield made


@pytest.mark.parametrize("disturbance", DISTURBANCES)
def test_a_job_finds_its_process_as_if_it_were_the_first_there(services: Stack, disturbance: str) -> None:
    before = services.result(services.probe("examine"))["note"]
    services.result(services.probe("disturb", note=disturbance))

    job_id = services.probe("examine", seconds=1.2 if disturbance == "alarm" else 0.1)

    assert before == services.result(job_id)["note"]
    assert "examined\n" == services.output(job_id)


def test_what_a_job_says_of_its_end_is_not_taken_for_the_end_of_the_next(services: Stack) -> None:
    services.result(services.probe("forge-ends"))

    results = [services.result(services.probe("return", note=str(number))) for number in range(3)]

    assert ["0", "1", "2"] == [result["note"] for result in results]


def test_a_job_cannot_have_the_workers_own_files_stored_as_its_artifacts(services: Stack) -> None:
    job = services.ended(services.probe("link-artifacts"))

    assert "failed" == job["state"]
    assert "is not a file" in job["error"]["detail"]


def test_a_copy_of_itself_that_a_handler_made_does_not_speak_for_it(services: Stack) -> None:
    job_id = services.probe("fork-and-leave", note="the handler's own")

    assert "the handler's own" == services.result(job_id)["note"]
    assert ["succeeded"] == services.outcomes(job_id)


def test_an_exception_that_cannot_be_written_is_an_error_like_any_other(services: Stack) -> None:
    job_id = services.submit("probe", {"action": "raise-unprintable"}, max_attempts=1)

    services.ended(job_id)

    assert ["error"] == services.outcomes(job_id)


def test_a_process_that_hangs_up_is_said_to_have_done_so(services: Stack) -> None:
    job = services.ended(services.probe("close-connection", seconds=LONG))

    assert "closed its connection" in job["error"]["detail"]


def test_processes_that_fork_without_end_are_gone_when_their_job_is_cancelled(services: Stack) -> None:
    job_id = services.probe("fork-without-end", seconds=LONG)
    [leader] = services.reports(job_id)

    services.cancel(job_id)

    assert "cancelled" == services.ended(job_id)["state"]
    until(lambda: not in_session(leader), "the end of all of them")


def in_session(leader: int) -> list[int]:
    """Return the living processes of a session."""
    found = []
    for pid in psutil.pids():
        try:
            if os.getsid(pid) == leader and not gone(pid):
                found.append(pid)
        except ProcessLookupError:
            continue
    return found


@pytest.mark.parametrize("stack", EMBEDDED_AND_WHOLE, indirect=True)
def test_a_process_that_a_handler_on_a_thread_forked_does_not_keep_its_worker_from_ending(stack: Stack) -> None:
    stack.start_api()
    worker = stack.start_worker()
    forked = int(stack.result(stack.submit("probe-thread", {"action": "fork-and-sleep", "seconds": LONG}))["note"])

    try:
        worker.send(signal.SIGTERM)
        assert 0 == worker.wait()
        assert not gone(forked)
    finally:
        os.kill(forked, signal.SIGKILL)
