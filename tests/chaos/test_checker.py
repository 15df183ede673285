import msgspec
import pytest
from chaos.checker import check
from chaos.history import ServiceEnded, Slowed
from chaos.rules import RULES
from chaos.store import ArtifactRow

from tests.chaos.runs import ID, NOTE, Run


def test_a_sound_run_breaks_no_rule() -> None:
    assert set() == Run().broken_rules()
    assert set() == Run("process", "probe").broken_rules()


class TestLoss:
    def test_a_202_without_a_row_is_a_lost_job(self) -> None:
        run = Run()
        run.jobs, run.attempts, run.calls = [], [], run.calls[:1]
        assert {"nothing acknowledged is lost"} == run.broken_rules()
        assert 1 == check(run.history(), run.rows()).classes.lost

    def test_a_job_that_never_ends_is_lost(self) -> None:
        run = Run()
        run.change(state="queued", attempt=0, version=1, finished_at=None)
        run.attempts, run.calls = [], run.calls[:1]
        assert {"every job has ended"} == run.broken_rules()
        assert 1 == check(run.history(), run.rows()).classes.lost

    def test_a_job_nobody_was_told_of_must_end_too(self) -> None:
        run = Run()
        run.change(state="running", version=2, finished_at=None)
        run.attempts, run.calls = [], [run.call("submit", 10.0, 0)]
        assert {"every job has ended"} == run.broken_rules()
        assert 0 == check(run.history(), run.rows()).classes.lost

    def test_a_202_while_the_store_is_away_is_false_whatever_became_of_the_job(self) -> None:
        run = Run()
        run.faults = [run.fault("kill store", 9.0, 10.5)]
        assert {"no 202 while nothing can be stored"} == run.broken_rules()
        assert 1 == check(run.history(), run.rows()).classes.false_202

    def test_a_202_that_was_answered_after_the_store_came_back_is_not(self) -> None:
        run = Run()
        run.faults = [run.fault("kill store", 9.0, 10.05)]
        assert set() == run.broken_rules()


class TestClasses:
    def test_what_was_never_acknowledged_is_recovered_when_it_is_there_and_absent_when_not(self) -> None:
        run = Run()
        run.calls = [run.call("submit", 10.0, 0)]
        there = check(run.history(), run.rows())
        run.jobs, run.attempts = [], []
        gone = check(run.history(), run.rows())

        assert (1, 0) == (there.classes.recovered, there.classes.absent)
        assert (0, 1) == (gone.classes.recovered, gone.classes.absent)
        assert [] == there.violations + gone.violations


class TestOneJob:
    def test_two_jobs_of_one_key_are_seen(self) -> None:
        run = Run()
        run.jobs.append(msgspec.structs.replace(run.jobs[0], id="job-1", attempt=0, state="cancelled"))
        assert "one job for one submit" in run.broken_rules()

    def test_one_key_acknowledged_as_two_jobs_is_seen(self) -> None:
        run = Run()
        run.calls.append(run.call("submit", 10.5, 202, job_id="job-1", state="queued", version=1))
        assert {"nothing acknowledged is lost", "one job for one submit"} == run.broken_rules()

    def test_a_job_nobody_submitted_is_seen(self) -> None:
        run = Run()
        run.jobs.append(msgspec.structs.replace(run.jobs[0], id="job-1", payload='{"text": "whose?"}'))
        assert {"one job for one submit"} == run.broken_rules()


class TestEnds:
    def test_an_end_that_is_not_of_the_jobs_kind_is_seen(self) -> None:
        run = Run()
        run.fails("timeout", [run.attempt(1, "failed", 10.2, 10.9, failure="timeout")])
        assert {"jobs end as their kind does"} == run.broken_rules()

    def test_three_losses_explain_a_failed_job_and_two_do_not(self) -> None:
        run = Run()
        run.faults = [run.fault("kill worker", 10.0, 11.0)]
        losses = [run.attempt(n, "failed", 10 + n / 10, 10.05 + n / 10, failure="lost") for n in (1, 2, 3)]
        run.fails("lost", losses)
        assert set() == run.broken_rules()
        run.fails("lost", losses[:2])
        assert {"jobs end as their kind does"} == run.broken_rules()

    def test_a_full_disk_explains_an_artifact_that_could_not_be_kept_and_nothing_else_does(self) -> None:
        run = Run("artifact", "probe")
        run.fails("error", [run.attempt(1, "failed", 10.2, 10.9, failure="error")])
        assert {"jobs end as their kind does"} == run.broken_rules()
        run.faults = [run.fault("full disk", 10.0, 10.5)]
        assert set() == run.broken_rules()

    @pytest.mark.parametrize("failure", ["lost", "crashed"])
    def test_a_loss_needs_a_fault_to_explain_it(self, failure: str) -> None:
        run = Run()
        run.attempts = [
            run.attempt(1, "failed", 10.2, 10.3, failure=failure),
            run.attempt(2, "succeeded", 10.4, 10.9, result=run.result),
        ]
        run.change(attempt=2)
        assert {"losses have causes"} == run.broken_rules()
        run.faults = [run.fault("kill worker", 10.0, 10.25)]
        assert set() == run.broken_rules()
        run.faults, run.slowed = [], [Slowed(at=9.5, seconds=0.75)]
        assert set() == run.broken_rules()

    def test_a_store_that_was_frozen_is_no_machine_that_stood_still(self) -> None:
        run = Run()
        run.attempts = [
            run.attempt(1, "failed", 10.2, 10.3, failure="crashed"),
            run.attempt(2, "succeeded", 10.4, 10.9, result=run.result),
        ]
        run.change(attempt=2)
        run.faults, run.slowed = [run.fault("freeze store", 9.4, 10.25)], [Slowed(at=9.5, seconds=0.75)]
        assert "losses have causes" in run.broken_rules()

    def test_a_job_may_crash_as_often_as_its_kind_does(self) -> None:
        run = Run("killed-once", "probe")
        run.attempts = [
            run.attempt(1, "failed", 10.2, 10.3, failure="crashed"),
            run.attempt(2, "succeeded", 10.4, 10.9, result=run.result.replace('"attempt": 1', '"attempt": 2')),
        ]
        run.change(attempt=2)
        run.calls.pop()
        assert set() == run.broken_rules()

    def test_an_end_that_changes_is_seen(self) -> None:
        run = Run()
        run.calls[1] = msgspec.structs.replace(run.calls[1], state="failed")
        assert {"an end is the end"} == run.broken_rules()

    def test_an_end_that_is_written_again_is_seen(self) -> None:
        run = Run()
        run.change(version=4)
        assert {"an end is the end"} == run.broken_rules()


class TestResults:
    def test_a_success_without_a_result_is_seen(self) -> None:
        run = Run()
        run.attempts = [run.attempt(1, "failed", 10.2, 10.9, failure="error")]
        run.calls.pop()
        assert {"success has one result"} == run.broken_rules()

    def test_a_second_result_is_seen_and_counted(self) -> None:
        run = Run()
        run.attempts.append(run.attempt(2, "succeeded", 10.9, 10.95, result=run.result))
        run.change(attempt=2)
        assert {"success has one result"} == run.broken_rules()
        assert 1 == check(run.history(), run.rows()).classes.duplicate_results

    def test_a_result_of_another_job_is_seen(self) -> None:
        run = Run()
        run.attempts = [run.attempt(1, "succeeded", 10.2, 10.9, result='{"text": "7-1"}')]
        run.calls.pop()
        assert {"success has one result"} == run.broken_rules()

    def test_a_result_of_another_attempt_is_seen(self) -> None:
        run = Run("process", "probe")
        run.faults = [run.fault("kill worker", 10.0, 10.3)]
        run.attempts = [
            run.attempt(1, "failed", 10.2, 10.3, failure="lost"),
            run.attempt(2, "succeeded", 10.4, 10.9, result=run.result),
        ]
        run.change(attempt=2)
        assert {"success has one result"} == run.broken_rules()

    def test_a_result_that_clients_see_and_the_store_does_not_hold_is_seen(self) -> None:
        run = Run()
        run.calls[2] = msgspec.structs.replace(run.calls[2], body="{}")
        assert {"clients get the result that is stored"} == run.broken_rules()

    def test_an_artifact_with_other_bytes_is_seen(self) -> None:
        run = Run("artifact", "probe")
        run.artifacts = [ArtifactRow(job_id=ID, name="note.txt", key="key", sha256="")]
        run.calls.append(run.call("artifact", 13.0, 200, body=NOTE))
        assert set() == run.broken_rules()
        run.calls.append(run.call("artifact", 13.0, 200, body=NOTE[:1]))
        assert {"clients get the result that is stored"} == run.broken_rules()


class TestAttempts:
    def test_an_attempt_without_an_end_is_seen(self) -> None:
        run = Run("process", "probe")
        run.change(attempt=2)
        run.attempts = [run.attempt(2, "succeeded", 10.2, 10.9, result=run.result.replace(": 1", ": 2", 1))]
        run.calls.pop()
        assert {"attempts are counted"} == run.broken_rules()

    def test_two_attempts_at_one_time_are_seen(self) -> None:
        run = Run()
        run.faults = [run.fault("kill worker", 10.0, 10.3)]
        run.attempts = [
            run.attempt(1, "failed", 10.2, 10.5, failure="lost"),
            run.attempt(2, "succeeded", 10.4, 10.9, result=run.result),
        ]
        run.change(attempt=2)
        assert {"attempts are counted"} == run.broken_rules()

    def test_an_error_more_than_allowed_is_seen(self) -> None:
        run = Run("raises", "probe-thread")
        run.change(max_attempts=1)
        run.fails("error", [run.attempt(n, "failed", 10 + n / 10, 10.05 + n / 10, failure="error") for n in (1, 2)])
        assert {"attempts are counted"} == run.broken_rules()

    def test_a_job_that_was_cancelled_while_queued_and_runs_is_seen(self) -> None:
        run = Run("cancelled-scheduled")
        run.calls[1:] = [run.call("cancel", 11.0, 200, job_id=ID, state="cancelled", version=3, attempt=0)]
        run.change(state="cancelled", attempt=1)
        run.attempts = [run.attempt(1, "cancelled", 10.2, 10.9)]
        assert {"what was cancelled while it waited never ran"} == run.broken_rules()

    @pytest.mark.parametrize("early", [{"delay_seconds": 1}, {"run_at": "1970-01-01T00:16:50.300+00:00"}])
    def test_a_start_before_its_time_is_seen(self, early: dict[str, object]) -> None:
        assert {"nothing starts out of its time"} == Run("scheduled", "echo", **early).broken_rules()

    def test_a_start_after_the_deadline_is_seen(self) -> None:
        run = Run("deadline", "probe")
        run.change(deadline_at=1010.1)
        assert set() == run.broken_rules()  # the claim had begun in time
        run.change(deadline_at=1009.9)
        assert {"nothing starts out of its time"} == run.broken_rules()


class TestSchedules:
    def test_a_job_each_minute_breaks_no_rule(self) -> None:
        run = Run()
        run.schedule(added=50.0, minutes=[1080, 1140, 1200], removed=250.0)
        assert set() == run.broken_rules()
        assert 3 == check(run.history(), run.rows()).classes.recurring

    def test_a_minute_with_two_jobs_is_seen(self) -> None:
        run = Run()
        run.schedule(added=50.0, minutes=[1080, 1140, 1140, 1200], removed=250.0)
        assert {"each time of a schedule has one job"} == run.broken_rules()

    def test_a_minute_without_a_job_is_seen(self) -> None:
        run = Run()
        run.schedule(added=50.0, minutes=[1080, 1200], removed=250.0)
        assert {"each time of a schedule has one job"} == run.broken_rules()

    def test_minutes_that_were_missed_while_nobody_could_add_a_job_have_one_together(self) -> None:
        run = Run()
        run.schedule(added=50.0, minutes=[1080], removed=250.0)
        run.jobs[-1] = msgspec.structs.replace(run.jobs[-1], created_at=1265.0)
        run.attempts[-1] = msgspec.structs.replace(run.attempts[-1], started_at=1265.1, finished_at=1265.2)
        assert set() == run.broken_rules()

    def test_a_job_of_no_time_of_its_schedule_is_seen(self) -> None:
        run = Run()
        run.schedule(added=50.0, minutes=[1080, 1091], removed=140.0)
        assert {"each time of a schedule has one job"} == run.broken_rules()

    def test_a_job_of_a_schedule_that_nobody_added_is_seen(self) -> None:
        run = Run()
        run.change(schedule_id="another")
        run.calls = []
        assert "one job for one submit" in run.broken_rules()


class TestAnswers:
    def test_an_answer_older_than_one_before_is_seen(self) -> None:
        run = Run()
        run.calls += [
            run.call("look", 10.3, 200, job_id=ID, state="running", version=2, attempt=1),
            run.call("look", 10.5, 200, job_id=ID, state="queued", version=1),
        ]
        assert {"answers never go back"} == run.broken_rules()

    def test_answers_to_requests_that_overlap_may_come_in_any_order(self) -> None:
        run = Run()
        run.calls += [
            run.call("look", 10.3, 200, job_id=ID, state="running", version=2, attempt=1, seconds=0.1),
            run.call("look", 10.35, 200, job_id=ID, state="queued", version=1, seconds=0.1),
        ]
        assert set() == run.broken_rules()

    @pytest.mark.parametrize("status", [404, 500])
    def test_a_status_that_no_such_request_may_have_is_seen(self, status: int) -> None:
        run = Run()
        run.calls.append(run.call("look", 11.5, status))
        assert {"answers are documented"} == run.broken_rules()

    def test_a_process_that_ends_by_itself_is_seen(self) -> None:
        run = Run()
        run.ended = [ServiceEnded(name="api-0", at=10.0, status=-11, said="")]
        assert {"nothing ends by itself"} == run.broken_rules()

    def test_a_start_that_is_refused_while_the_store_is_away_is_not(self) -> None:
        run = Run()
        run.ended = [ServiceEnded(name="api-0", at=10.0, status=1, said="the store is not available")]
        assert {"nothing ends by itself"} == run.broken_rules()
        run.faults = [run.fault("kill store", 9.0, 9.9)]
        assert set() == run.broken_rules()


def test_each_rule_is_broken_by_some_run_here() -> None:
    """Keeps the claims above complete: a rule that nothing breaks proves nothing."""
    with open(__file__, encoding="utf-8") as file:  # noqa: PTH123
        claims = file.read()
    assert [] == [rule.__name__ for rule in RULES if f'"{rule.__name__.replace("_", " ")}"' not in claims]
