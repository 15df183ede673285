"""The CPU-bound work: the same functions in a request, on a thread and in a worker's child."""

import hashlib
import time
from collections.abc import Callable
from typing import Literal

#: `python` holds the GIL throughout; `c` is one call into OpenSSL, which releases it.
Kind = Literal["python", "c"]

_MODULUS = 1_000_003
_CALIBRATION_SECONDS = 0.1
_CALIBRATION_RUNS = 5


def compute(kind: Kind, amount: int) -> int:
    """Do an amount of work, in iterations of its kind, and return a number that depends on all of it."""
    return _FUNCTIONS[kind](amount)


def _in_python(iterations: int) -> int:
    state = 1
    for step in range(iterations):
        state = (state * 31 + step) % _MODULUS
    return state


def _in_c(iterations: int) -> int:
    return hashlib.pbkdf2_hmac("sha256", b"password", b"salt", iterations)[0]


_FUNCTIONS: dict[Kind, Callable[[int], int]] = {"python": _in_python, "c": _in_c}


def iterations_per_second(kind: Kind) -> float:
    """Return how many iterations this machine does in a second, alone on a core."""
    amount = 10_000
    while (seconds := _seconds(kind, amount)) < _CALIBRATION_SECONDS:
        amount *= 2
    # The fastest run is the one that was disturbed least.
    return amount / min(seconds, *(_seconds(kind, amount) for _ in range(_CALIBRATION_RUNS)))


def _seconds(kind: Kind, amount: int) -> float:
    # Of the processor, not of the clock: a process that runs beside this one shall not make the jobs smaller.
    started = time.thread_time()
    compute(kind, amount)
    return time.thread_time() - started
