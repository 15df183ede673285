"""Claims about what a job prints and logs: kept for each attempt, in bounds, and read over HTTP at any time."""

import pytest

from offload_shared.store.outputs import KEPT_BYTES
from tests.acceptance.stack import Stack, until

LONG = 100_000


def test_all_that_a_process_prints_is_read_while_it_runs(services: Stack) -> None:
    job_id = services.probe("print", note="ü", seconds=LONG)

    until(lambda: "from a program" in services.output(job_id), "its output")

    assert "running" == services.job(job_id)["state"]
    lines = services.output(job_id).splitlines()
    assert ["printed ü", "to stderr", "by the handle"] == lines[:3]
    assert lines[3].endswith("INFO a.library: logged by a library")
    services.cancel(job_id)
    services.ended(job_id)
    assert lines == services.output(job_id).splitlines()[: len(lines)]


@pytest.mark.parametrize(("task", "action"), [("probe-thread", "print"), ("probe-event-loop", "print")])
def test_jobs_that_share_the_workers_process_have_outputs_of_their_own(services: Stack, task: str, action: str) -> None:
    job_ids = [services.submit(task, {"action": action, "note": str(number)}) for number in range(20)]

    for number, job_id in enumerate(job_ids):
        services.result(job_id)
        lines = services.output(job_id).splitlines()
        assert [f"printed {number}", "to stderr", "by the handle"] == lines[:3]
        assert 4 == len(lines)


def test_each_attempt_has_its_own_output_and_a_crash_loses_none_of_it(services: Stack) -> None:
    job_id = services.probe("exit")
    services.ended(job_id)

    assert ["last words\n"] * 3 == [services.output(job_id, attempt=number) for number in (1, 2, 3)]


def test_a_handlers_trace_is_for_the_workers_log_and_not_for_the_client(services: Stack) -> None:
    job_id = services.probe("raise")
    services.ended(job_id)

    assert "" == services.output(job_id)
    assert "Traceback" in services.processes[-1].log.read_text()


def test_a_job_that_prints_without_end_is_bounded_and_harms_nobody(services: Stack) -> None:
    worker = services.processes[-1]
    before_mb = worker.health("ready")[1]["memory_mb"]
    job_id = services.probe("print-without-end")
    services.reports(job_id)
    begun = until(lambda: services.output(job_id), "its output")

    services.result(services.submit("echo"))
    until(lambda: services.output(job_id)[:100] > begun[:100], "later output")

    assert KEPT_BYTES / 2 < len(services.output(job_id)) <= 2 * KEPT_BYTES
    assert worker.health("ready")[1]["memory_mb"] < before_mb + 50
    services.cancel(job_id)
    assert "cancelled" == services.ended(job_id)["state"]
