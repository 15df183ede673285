import pytest

from offload_shared.job import Cancelled, Failed, Failure, Outcome, Released, Succeeded
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


ENDS_OF_THEIR_OWN: list[Outcome] = [Succeeded(b"{}"), Failed(Failure.ERROR, "no"), Failed(Failure.REJECTED, "no")]
ENDS_FROM_OUTSIDE: list[Outcome | None] = [Failed(Failure.TIMEOUT, "late"), Cancelled(), Released(), None]


def crash_with_one_between(end: Outcome | None) -> Breaker:
    breaker = Breaker([], pause_seconds=30)
    for number in range(MOST_CRASHED_JOBS):
        if number == MOST_CRASHED_JOBS - 1:
            breaker.note("another", end)
        breaker.note(str(number), CRASH)
    return breaker


@pytest.mark.parametrize("end", ENDS_OF_THEIR_OWN)
def test_an_end_of_its_own_between_shows_that_the_worker_is_well(end: Outcome) -> None:
    assert crash_with_one_between(end).reason is None


@pytest.mark.parametrize("end", ENDS_FROM_OUTSIDE)
def test_an_end_from_outside_between_shows_nothing(end: Outcome | None) -> None:
    assert crash_with_one_between(end).reason is not None


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
