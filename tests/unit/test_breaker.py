from offload_shared.job import Cancelled, Failed, Failure, Outcome, Succeeded
from offload_worker.breaker import MOST_CRASHED_JOBS, Breaker
from offload_worker.slots import Slots

CRASH = Failed(Failure.CRASHED, "signal SIGSEGV")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_crashes_of_different_jobs_in_a_row_pause_the_worker_for_a_while() -> None:
    slots, clock = [Slots(1), Slots(2)], Clock()
    breaker = Breaker(slots, pause_seconds=30, clock=clock)

    for number in range(MOST_CRASHED_JOBS - 1):
        breaker.note(str(number), CRASH)
    assert (None, [1, 2]) == (breaker.reason, [each.free() for each in slots])
    breaker.note("the last", CRASH)

    assert f"the processes of {MOST_CRASHED_JOBS} jobs in a row have crashed" == breaker.reason
    assert [0, 0] == [each.free() for each in slots]
    clock.now += 31
    assert breaker.reason is None


def test_one_job_that_crashes_again_and_again_pauses_nobody() -> None:
    breaker = Breaker([], pause_seconds=30)

    for _ in range(10 * MOST_CRASHED_JOBS):
        breaker.note("a poison job", CRASH)

    assert breaker.reason is None


def test_any_other_end_between_shows_that_the_worker_is_well() -> None:
    ends: list[Outcome | None] = [Succeeded(b"{}"), Failed(Failure.TIMEOUT, "late"), Cancelled(), None]
    breaker = Breaker([], pause_seconds=30)

    for turn, end in enumerate(ends):
        for number in range(MOST_CRASHED_JOBS - 1):
            breaker.note(f"{turn}-{number}", CRASH)
        breaker.note("another", end)

    assert breaker.reason is None


def test_pauses_in_a_row_grow_and_begin_anew_after_a_good_end() -> None:
    clock = Clock()
    breaker = Breaker([], pause_seconds=10, clock=clock)

    def paused_seconds() -> int:
        began = clock.now
        breaker.trip("no folder can be made")
        while breaker.reason:
            clock.now += 1
        return round(clock.now - began)

    assert [10, 20, 40, 80, 160, 160] == [paused_seconds() for _ in range(6)]
    breaker.note("a job", Succeeded(b"{}"))
    assert 10 == paused_seconds()
