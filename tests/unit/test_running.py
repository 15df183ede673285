import contextlib
import threading
import time

import pytest

from offload_shared import tasks
from offload_shared.job import Cancelled, ClaimedJob, Failed, Failure
from offload_worker import watchdog
from offload_worker.runners import family
from offload_worker.runners.call import LONGEST_DETAIL, failed, sentence
from offload_worker.runners.family import Snapshot, Use
from offload_worker.runners.frames import BrokenFrame, FrameBuffer
from offload_worker.running import Running, RunningAttempt, Stop
from offload_worker.slots import Slots

NOW = Snapshot([])


def attempt(
    timeout_seconds: float = 60.0, leased_ago_seconds: float = 0.0, cpu_limit_seconds: float | None = None
) -> RunningAttempt:
    job = ClaimedJob(
        id="0" * 32,
        attempt=1,
        task="echo",
        payload="{}",
        tenant="",
        timeout_seconds=timeout_seconds,
        memory_limit_mb=100,
        cpu_limit_seconds=cpu_limit_seconds,
    )
    leased_at = time.monotonic() - leased_ago_seconds
    return RunningAttempt(job, tasks.registry()["echo"], leased_at=leased_at, lease_seconds=30)


def test_the_first_reason_to_stop_counts() -> None:
    running = attempt()

    running.stop(Stop.CANCELLED)
    running.stop(Stop.TIMEOUT)

    assert Cancelled() == running.outcome_of_stop()


def test_a_stop_that_comes_before_the_work_begins_still_reaches_it() -> None:
    running, reached = attempt(), threading.Event()

    running.stop(Stop.CANCELLED)
    running.on_stop(reached.set)

    assert reached.is_set()


def test_a_stop_after_the_work_is_over_reaches_nobody() -> None:
    running, reached = attempt(), threading.Event()
    running.on_stop(reached.set)

    assert not running.detach()
    running.stop(Stop.FENCED)

    assert not reached.is_set()


def test_a_fenced_attempt_has_no_outcome_to_store() -> None:
    running = attempt()
    running.stop(Stop.FENCED)

    assert running.outcome_of_stop() is None


def test_the_watchdog_ends_what_is_out_of_time() -> None:
    running = attempt(timeout_seconds=0)

    running.begin()
    watchdog.check(running, NOW)

    outcome = running.outcome_of_stop()
    assert isinstance(outcome, Failed)
    assert Failure.TIMEOUT == outcome.failure


def test_the_watchdog_reads_the_machines_processes_only_while_a_job_runs_in_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = 0

    def snapshot() -> Snapshot:
        nonlocal looks
        looks += 1
        return NOW

    monkeypatch.setattr(family, "snapshot", snapshot)
    running, here, child = Running(), attempt(timeout_seconds=0.0), attempt()
    here.begin()
    child.measured_by(lambda _: Use(memory_mb=101, cpu_seconds=0))

    with running.watch(here):
        watchdog.watch(running, memory_mb=1000)
    assert (0, Stop.TIMEOUT) == (looks, here.stopped)

    with running.watch(child):
        watchdog.watch(running, memory_mb=1000)
    assert (1, Stop.OUT_OF_MEMORY) == (looks, child.stopped)


def test_the_watchdog_ends_what_uses_too_much_memory_and_remembers_the_peak() -> None:
    running = attempt()
    running.measured_by(lambda _: Use(101.0, 0.0))

    running.begin()
    watchdog.check(running, NOW)

    assert Stop.OUT_OF_MEMORY == running.stopped
    assert 101.0 == running.peak_memory_mb


def test_the_watchdog_ends_what_has_computed_for_too_long() -> None:
    within, beyond = attempt(cpu_limit_seconds=2.0), attempt(cpu_limit_seconds=2.0)
    within.measured_by(lambda _: Use(10.0, 1.9))
    beyond.measured_by(lambda _: Use(10.0, 2.1))

    watchdog.check(within, NOW)
    watchdog.check(beyond, NOW)

    assert (None, Stop.CPU_EXCEEDED) == (within.stopped, beyond.stopped)
    outcome = beyond.outcome_of_stop()
    assert isinstance(outcome, Failed)
    assert Failure.CPU_EXCEEDED == outcome.failure


def test_the_largest_job_is_ended_before_the_workers_memory_is_used_up() -> None:
    small, large = attempt(), attempt()
    in_this_process = attempt()
    small.measured_by(lambda _: Use(30.0, 0.0))
    large.measured_by(lambda _: Use(60.0, 0.0))
    every = [in_this_process, small, large]
    for each in every:
        each.sample(NOW)

    watchdog.check_together(every, used_mb=100.0, memory_mb=110.0)
    assert (None, None) == (small.stopped, large.stopped)
    watchdog.check_together(every, used_mb=100.0, memory_mb=100.0)
    watchdog.check_together(every, used_mb=100.0, memory_mb=100.0)

    assert (None, Stop.MEMORY_SHORT) == (small.stopped, large.stopped)
    outcome = large.outcome_of_stop()
    assert isinstance(outcome, Failed)
    assert Failure.OUT_OF_MEMORY == outcome.failure


def test_jobs_on_threads_are_not_ended_for_memory_that_is_not_theirs() -> None:
    alone = attempt()

    watchdog.check_together([alone], used_mb=100.0, memory_mb=100.0)

    assert alone.stopped is None


def test_what_has_ended_is_not_said_to_have_used_no_memory() -> None:
    running = attempt()
    running.measured_by(lambda _: Use(0.0, 1.5))

    running.sample(NOW)

    assert (None, 1.5) == (running.peak_memory_mb, running.cpu_seconds)


def test_a_worker_without_a_good_heartbeat_gives_up_before_its_lease_is_over() -> None:
    kept, expiring = attempt(leased_ago_seconds=24), attempt(leased_ago_seconds=26)

    watchdog.check(kept, NOW)
    watchdog.check(expiring, NOW)

    assert (None, Stop.FENCED) == (kept.stopped, expiring.stopped)


def hangs(running: RunningAttempt, after_seconds: float) -> bool:
    return running.hangs(time.monotonic() + after_seconds, begin_seconds=180, end_seconds=90)


def test_an_attempt_that_has_not_begun_for_long_hangs_and_one_that_has_does_not() -> None:
    waiting, begun = attempt(), attempt()
    begun.begin()

    assert [False, True, False] == [hangs(waiting, 170), hangs(waiting, 190), hangs(begun, 100_000)]


def test_an_attempt_that_was_stopped_and_does_not_end_for_long_hangs_unless_its_thread_is_still_at_it() -> None:
    stopped, ending = attempt(), attempt()
    for each in (stopped, ending):
        each.stop(Stop.CANCELLED)
    assert [False, True] == [hangs(stopped, 80), hangs(stopped, 100)]

    ending._moved_on -= 1000
    assert hangs(ending, 0)
    ending.still_ending()

    assert not hangs(ending, 80)


def test_a_handler_in_the_worker_itself_may_take_its_time_to_end_but_what_follows_it_may_not() -> None:
    here = attempt()
    here.begin()
    here.stop(Stop.CANCELLED)

    assert not hangs(here, 100_000)
    here.still_ending()
    assert hangs(here, 100)


def test_the_watchdog_gives_up_what_hangs_also_when_it_was_stopped_for_another_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watchdog, "END_SECONDS", -1.0)
    well, hanging = attempt(), attempt()
    hanging.stop(Stop.CANCELLED)

    watchdog.check(well, NOW)
    watchdog.check(hanging, NOW)

    assert (False, True, Stop.CANCELLED) == (well.given_up, hanging.given_up, hanging.stopped)


def test_an_attempt_is_watched_until_it_is_over_however_it_ends() -> None:
    running, watched = Running(), attempt()

    with contextlib.suppress(ZeroDivisionError), running.watch(watched):
        assert [watched] == running.all()
        _ = 1 / 0

    assert running.wait_until_idle(0)


def test_a_slot_is_taken_once_and_given_back() -> None:
    slots = Slots(1)

    assert slots.take()
    assert not slots.take()
    slots.release()
    assert slots.take()


def test_no_slot_is_free_once_the_worker_ends() -> None:
    slots = Slots(1)
    slots.close()

    assert not slots.take()
    assert 0 == slots.free()


def test_no_slot_is_free_in_a_pause_and_each_is_afterwards() -> None:
    slots = Slots(2)

    slots.pause(1000)
    assert not slots.take()
    assert 0 == slots.free()
    slots.pause(0)

    assert slots.take()


def test_frames_are_put_together_from_any_pieces() -> None:
    body = b'{"type":"Report","percent":5.0,"message":"x"}'
    buffer = FrameBuffer()

    for byte in len(body).to_bytes(4, "big") + body:
        assert buffer.next() is None
        buffer.feed(bytes([byte]))

    assert "Report" == type(buffer.next()).__name__
    assert buffer.next() is None


@pytest.mark.parametrize("sent", [b"\xff\xff\xff\xff", b"\x00\x00\x00\x02[]", b"\x00\x00\x00\x01\x80"])
def test_what_is_no_frame_is_refused(sent: bytes) -> None:
    buffer = FrameBuffer()
    buffer.feed(sent)

    with pytest.raises(BrokenFrame):
        buffer.next()


def test_a_failures_detail_is_one_line_without_control_characters() -> None:
    assert "a b c" == sentence("a\x00b\n\tc")
    assert len(sentence("x" * 10_000)) < LONGEST_DETAIL + 10
    assert "" == sentence("\ud800")


def test_a_handlers_trace_is_not_in_what_the_client_reads() -> None:
    outcome = failed(RuntimeError("broken"))

    assert Failed(Failure.ERROR, "RuntimeError: broken") == outcome
