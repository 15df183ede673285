from collections import Counter
from pathlib import Path

import pytest
from chaos.history import Answered, FaultBegan, FaultHolds, FaultUndone, Journal, Planned, Recovered, read
from chaos.kinds import KINDS
from chaos.plan import MIXED_RATE, make_plan, weights_at


def test_one_seed_is_one_plan_and_another_is_another() -> None:
    plans = [make_plan(seed, seconds=60, rate=10, longest=30) for seed in (1, 1, 2)]
    shown = [
        [(job.note, job.kind.name, job.at, job.body(0), job.repeats, job.cancel_after) for job in p] for p in plans
    ]
    assert shown[0] == shown[1]
    assert shown[0] != shown[2]


def test_a_long_plan_has_jobs_of_every_kind_at_about_its_rate() -> None:
    plan = make_plan(1, seconds=600, rate=10, longest=30)
    assert {kind.name for kind in KINDS} == {job.kind.name for job in plan}
    assert 5500 < len(plan) < 6500
    assert len(plan) == len({job.note for job in plan})


@pytest.mark.parametrize("rate", [0.1, 6, MIXED_RATE])
def test_up_to_the_usual_rate_every_kind_has_its_own_part(rate: float) -> None:
    assert [kind.weight for kind in KINDS] == weights_at(rate)


@pytest.mark.parametrize("rate", [MIXED_RATE + 1, 65, 200])
def test_a_higher_rate_brings_more_of_the_light_kinds_and_no_more_of_the_heavy(rate: float) -> None:
    usual, weights = weights_at(MIXED_RATE), weights_at(rate)
    for kind, before, now in zip(KINDS, usual, weights, strict=True):
        a_second = rate * now / sum(weights)
        as_usual = MIXED_RATE * before / sum(usual)
        assert a_second > as_usual if kind.light else a_second == pytest.approx(as_usual)


def test_a_plan_of_a_high_rate_is_as_heavy_as_one_of_the_usual() -> None:
    usual, high = (make_plan(1, seconds=600, rate=rate, longest=30) for rate in (MIXED_RATE, 65))
    heavy = [Counter(job.kind.light for job in plan)[False] for plan in (usual, high)]
    assert 0.9 < heavy[1] / heavy[0] < 1.1
    assert 38_000 < len(high) < 40_000


def test_light_kinds_start_no_process_and_hold_no_thread() -> None:
    assert {"echo", "probe-event-loop"} == {kind.task for kind in KINDS if kind.light}


def test_what_was_appended_is_read_back_also_when_the_last_line_was_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    journal = Journal(path, seed=5, lease_seconds=4, clock=iter(range(100)).__next__)
    journal.note(Planned(note="5-0", kind="echo", body={}, key="key"))
    answered = journal.invoke("submit", "5-0", 1)
    journal.note(Answered(call=answered, at=7.0, status=202, job_id="job", state="queued", version=1))
    journal.invoke("look", "5-0", 0)
    journal.note(FaultBegan(number=1, name="kill worker", at=8.0))
    journal.note(FaultHolds(number=1, at=8.5, target="worker", orphans=[("job", 1)]))
    journal.note(FaultUndone(number=1, at=9.0, healed=False))
    journal.note(FaultUndone(number=1, at=9.5, healed=True))
    journal.note(Recovered(number=1, accepted_seconds=0.5, ended_seconds=None))
    journal.close()
    with path.open("ab") as file:
        file.write(b'{"type": "answ')

    history = read(path)

    assert (5, 4) == (history.seed, history.lease_seconds)
    assert [("submit", 202, 7.0), ("look", 0, None)] == [(c.verb, c.status, c.answered) for c in history.calls]
    [fault] = history.faults
    assert (8.0, 8.5, 9.0, 9.5) == (fault.began, fault.held, fault.undoing, fault.healed)
    assert ([("job", 1)], 0.5, None) == (fault.orphans, fault.accepted_seconds, fault.ended_seconds)
