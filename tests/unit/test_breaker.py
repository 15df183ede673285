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

    for end in ends:
        for number in range(MOST_CRASHED_JOBS - 1):
            breaker.note(str(number), CRASH)
        breaker.note("another", end)

    assert breaker.reason is None
