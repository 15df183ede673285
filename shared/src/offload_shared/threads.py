"""How the threads of a service share the interpreter."""

import sys

SWITCH_SECONDS = 0.0005


def take_short_turns() -> None:
    """Have a thread that computes let another go on sooner than after Python's own 5 ms.

    Each call to the system gives the interpreter away, and may wait that long to have it back.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
