from chaos.checker import check
from chaos.evidence import Evidence
from chaos.history import Slowed
from chaos.report import Outcome, lines
from chaos.timings import timings

from tests.chaos.runs import ID, Run


def outcome(run: Run, leaks: list[str] | None = None) -> Outcome:
    history, rows = run.history(), run.rows()
    return Outcome(
        seed=7,
        seconds=60,
        lease_seconds=5,
        setting="a setting",
        verdict=check(history, rows),
        timings=timings(Evidence(history, rows)),
        leaks=leaks or [],
        stale_refused=0,
        restarts=0,
        slowed_seconds=0,
        left_out={"full disk": "it takes root"},
    )


def test_a_sound_run_holds_and_says_so_also_what_was_not_injected() -> None:
    sound = outcome(Run())
    said = "\n".join(lines(sound))
    assert sound.holds
    assert "Every invariant has held." in said
    assert "Not injected: full disk, since it takes root" in said


def test_a_violation_and_a_leak_are_told_with_the_seed() -> None:
    run = Run()
    run.change(version=4)
    broken = outcome(run, ["temporary file x"])
    said = "\n".join(lines(broken))
    assert not broken.holds
    assert "with seed 7" in said
    assert "an end is the end" in said
    assert "temporary file x" in said


def test_a_leak_alone_is_enough() -> None:
    assert not outcome(Run(), ["process 1"]).holds


def test_a_dead_workers_job_is_timed_from_the_death_to_the_next_start() -> None:
    run = Run()
    run.attempts = [
        run.attempt(1, "failed", 10.2, 15.0, failure="lost"),
        run.attempt(2, "succeeded", 16.5, 17.0, result=run.result),
    ]
    run.change(attempt=2)
    killed = run.fault("kill worker", 10.5, 11.0)
    killed.orphans = [(ID, 1)]
    run.faults = [killed]
    targets = outcome(run).timings.targets
    assert (1, 6.0) == (targets.dead_workers.count, targets.dead_workers.longest)


def test_a_target_is_marked_as_met_missed_or_not_seen() -> None:
    run = Run()
    run.faults = [run.fault("kill broker", 9.0, 11.0)]
    said = "\n".join(lines(outcome(run)))
    assert "1 of 1 submits accepted; wanted: all: met" in said
    assert "wanted: 65 s at most: not seen in this run" in said

    run.calls[0] = run.call("submit", 10.0, 503)
    assert "0 of 1 submits accepted; wanted: all: MISSED" in "\n".join(lines(outcome(run)))


def test_a_submit_that_met_a_machine_that_stood_still_counts_for_no_fault() -> None:
    run = Run()
    run.faults = [run.fault("kill broker", 9.0, 11.0)]
    run.slowed = [Slowed(at=9.9, seconds=0.5)]
    assert 0 == outcome(run).timings.targets.without_broker


def test_submits_count_for_a_fault_only_when_nothing_else_was_broken() -> None:
    run = Run()
    run.faults = [run.fault("kill broker", 9.0, 11.0)]
    alone = outcome(run).timings.targets
    run.faults.append(run.fault("kill API", 9.5, 9.6))
    together = outcome(run).timings.targets
    assert (1, 1) == (alone.without_broker, alone.without_broker_accepted)
    assert 0 == together.without_broker


def test_a_waiting_clients_lateness_is_counted_from_the_end_or_from_the_healing() -> None:
    run = Run()
    run.calls[1] = run.call("look", 10.2, 200, seconds=0.9, job_id=ID, state="succeeded", version=3)
    assert 0.2 == round(outcome(run).timings.targets.told.longest, 3)  # ended at 10.9, known at 11.1
    run.faults = [run.fault("stall store", 10.5, 11.05)]
    assert 0.05 == round(outcome(run).timings.targets.told.longest, 3)


def test_a_client_waits_from_the_first_time_it_asks() -> None:
    run = Run()
    assert 0.1 == round(outcome(run).timings.targets.told.longest, 3)  # ended at 10.9, asked at 11.0, known at 11.1


def test_a_client_that_a_late_202_tells_of_the_end_has_not_waited() -> None:
    run = Run()
    run.calls[0] = run.call("submit", 10.0, 202, seconds=0.99, job_id=ID, state="succeeded", version=3)
    assert 0 == outcome(run).timings.targets.told.count
