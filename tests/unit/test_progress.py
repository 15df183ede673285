"""What a handler says of its progress, made fit for the store."""

import math
import socket

import msgspec
import numpy as np
import pytest

from offload_shared.job import Progress
from offload_worker.runners import frames
from offload_worker.runners.child import ChildHandle
from offload_worker.runners.runner import clean_progress


@pytest.mark.parametrize(
    ("said", "stored"),
    [(12.34, 12.3), (-1, 0.0), (101, 100.0), (math.nan, 0.0), (np.float64(3.3), 3.3), (np.int64(7), 7)],
)
def test_a_percentage_is_a_number_from_0_to_100_whatever_kind_it_was(said: float, stored: float) -> None:
    progress = clean_progress(said, "")

    assert stored == progress.percent
    assert type(progress.percent) is float


@pytest.mark.parametrize(("said", "stored"), [("fold 2 of 5", "fold 2 of 5"), ("a\ud800b", "a b"), ("a\x00b\n", "a b")])
def test_a_message_can_be_stored_whatever_it_holds(said: str, stored: str) -> None:
    progress = clean_progress(0, said)

    assert Progress(0.0, stored) == msgspec.json.decode(msgspec.json.encode(progress), type=Progress)


def test_progress_stays_within_its_bounds_whatever_a_handler_says() -> None:
    assert Progress(100.0, "m" * 500) == clean_progress(1e9, "m" * 1000)
    assert Progress(0.0) == clean_progress(-3, "")
    assert Progress(0.0) == clean_progress(math.nan, "")


def test_a_child_tells_its_worker_of_any_kind_of_number_and_of_any_message() -> None:
    run = frames.Run("0" * 32, 1, "echo", "{}", "/nonexistent", memory_limit_mb=100)
    workers, childs = socket.socketpair()
    with workers, childs:
        ChildHandle(childs, run).progress(np.float64(3.3), "a\ud800b")
        told = frames.FrameBuffer()
        told.feed(workers.recv(1000))

    assert frames.Report(3.3, "a b") == told.next()
