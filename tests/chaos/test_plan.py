from pathlib import Path

from chaos.history import Answered, FaultBegan, FaultHolds, FaultUndone, Journal, Planned, Recovered, read
from chaos.kinds import KINDS
from chaos.plan import make_plan


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
