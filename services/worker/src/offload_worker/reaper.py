"""Process 1 of a container inherits what loses its parent there, and has to ask how it ended, or it stays a zombie."""

import contextlib
import os
from collections.abc import Callable, Collection

from offload_worker.runners import family

TICK_SECONDS = 5.0


def reap(own: Callable[[], Collection[int]]) -> None:
    """Wait for all ended processes that this one has inherited; `own` tells those that somebody here waits for.

    What handlers on threads start is of this process's session, and is theirs to wait for.
    """
    here, session = os.getpid(), os.getsid(0)
    ended = [each for each in family.snapshot().processes.values() if each.zombie and each.parent == here]
    for each in ended:
        if each.session != session and each.pid not in own():
            with contextlib.suppress(ChildProcessError):
                os.waitpid(each.pid, os.WNOHANG)
