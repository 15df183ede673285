"""Threads that share calls: together while one is under way, alone otherwise, and each with its own answer."""

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from offload_shared.errors import StoreUnavailable
from offload_worker.combining import LARGEST_CALL, Combiner

LONG_SECONDS = 30


class Doubling:
    """A call that is under way until it is let go on, and knows what it was called with."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Semaphore(0)
        self.refused: dict[int, Exception] = {}

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.calls.append(list(items))
        self.begun.release()
        assert self.go_on.acquire(timeout=LONG_SECONDS)
        for item in items:
            if item in self.refused:
                raise self.refused[item]
        return [2 * item for item in items]


class Crowd:
    """Threads that submit one item each."""

    def __init__(self, call: Doubling) -> None:
        self.call = call
        self.combiner = Combiner(call)
        self._threads = ThreadPoolExecutor(2 * LARGEST_CALL)

    def submit(self, item: int) -> Future[int]:
        return self._threads.submit(self.combiner.submit, item)

    def submit_while_one_is_under_way(self, *items: int) -> list[Future[int]]:
        first = self.submit(0)
        assert self.call.begun.acquire(timeout=LONG_SECONDS)
        others = [self.submit(item) for item in items]
        waiting = threading.Event()
        while len(self.combiner._waiting) < len(items):
            waiting.wait(0.001)
        return [first, *others]


@pytest.fixture
def crowd() -> Crowd:
    return Crowd(Doubling())


def let_go_on(crowd: Crowd, times: int) -> None:
    for _ in range(times):
        crowd.call.go_on.release()


def test_a_lone_item_is_answered_at_once_on_its_own_thread() -> None:
    threads = []

    def call(items: Sequence[int]) -> Sequence[int]:
        threads.append(threading.get_ident())
        return items

    assert 1 == Combiner(call).submit(1)
    assert [threading.get_ident()] == threads


def test_all_that_come_while_a_call_is_under_way_share_the_next(crowd: Crowd) -> None:
    answers = crowd.submit_while_one_is_under_way(1, 2, 3)
    let_go_on(crowd, 2)

    assert [0, 2, 4, 6] == [answer.result(LONG_SECONDS) for answer in answers]
    assert [[0], [1, 2, 3]] == [sorted(call) for call in crowd.call.calls]


def test_no_call_is_larger_than_the_largest_and_nobody_is_forgotten(crowd: Crowd) -> None:
    answers = crowd.submit_while_one_is_under_way(*range(1, LARGEST_CALL + 6))
    let_go_on(crowd, 3)

    assert [2 * item for item in range(LARGEST_CALL + 6)] == [answer.result(LONG_SECONDS) for answer in answers]
    assert [1, LARGEST_CALL, 5] == [len(call) for call in crowd.call.calls]


def test_an_item_that_fails_fails_alone(crowd: Crowd) -> None:
    crowd.call.refused[2] = ValueError("no")
    first, one, two, three = crowd.submit_while_one_is_under_way(1, 2, 3)
    let_go_on(crowd, 5)

    assert [0, 2, 6] == [answer.result(LONG_SECONDS) for answer in (first, one, three)]
    with pytest.raises(ValueError, match="no"):
        two.result(LONG_SECONDS)


def test_a_store_that_is_away_is_away_for_all_and_is_not_asked_for_each(crowd: Crowd) -> None:
    crowd.call.refused[2] = StoreUnavailable("away")
    first, *others = crowd.submit_while_one_is_under_way(1, 2, 3)
    let_go_on(crowd, 2)

    assert 0 == first.result(LONG_SECONDS)
    for answer in others:
        with pytest.raises(StoreUnavailable):
            answer.result(LONG_SECONDS)
    assert 2 == len(crowd.call.calls)

    let_go_on(crowd, 1)
    assert 14 == crowd.submit(7).result(LONG_SECONDS)
