"""How a service uses the Python interpreter that it runs on."""

import gc
import sys

SWITCH_SECONDS = 0.0005


def take_short_turns() -> None:
    """Have a thread that computes let another go on sooner than after Python's own 5 ms.

    Each call to the system gives the interpreter away, and may wait that long to have it back.
    """
    sys.setswitchinterval(SWITCH_SECONDS)


def keep_what_is_there() -> None:
    """Search nothing for garbage again that exists by now; called once a process is set up.

    Modules, classes and routes are some hundred thousand objects that stay until the end. A search of all of them stops
    every thread for 70 ms and more, now and again.
    """
    gc.collect()
    gc.freeze()
