"""Places where a process can be made to die, to fail, to hang or to lose an answer, so that each recovery can be seen.

Nothing happens unless OFFLOAD_FAILPOINTS names a folder. A file there, named as a point and holding an action, arms the
point in every process that was given the folder. The first to come there renames the file to `<point>.fired`, which
only one process can and only once, adds its process id, and acts.
"""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from pathlib import Path

from offload_shared.errors import ArtifactsUnavailable, CommitUnknown, SettingsInvalid, StoreUnavailable

PAUSE_SECONDS = 0.02


class Action(Enum):
    """What happens at an armed point."""

    KILL = "kill"  # SIGKILL of the own process
    RAISE = "raise"  # an error: the store's own inside a transaction, elsewhere one that nobody foresaw
    HANG = "hang"  # until the `.fired` file is removed; then it goes on as if nothing had been
    LOSE = "lose"  # what was done is done, or was asked for; no answer comes


class Point(Enum):
    """Every point; a verb of the store has two: inside its transaction, just before the commit, and behind it."""

    ADD_INSIDE = "add.inside"
    ADD_COMMITTED = "add.committed"
    ACCEPTED = "accepted"  # the 202 is not written yet
    CONFIRMING = "confirming"  # the broker has confirmed a hint; nobody has taken notice
    MARK_PUBLISHED_INSIDE = "mark_published.inside"
    MARK_PUBLISHED_COMMITTED = "mark_published.committed"
    TAKE_DUE_INSIDE = "take_due.inside"
    TAKE_DUE_COMMITTED = "take_due.committed"
    FORGET_PUBLISHED_INSIDE = "forget_published.inside"
    FORGET_PUBLISHED_COMMITTED = "forget_published.committed"
    DELIVERED = "delivered"  # a hint has reached a worker's thread
    CLAIM_INSIDE = "claim.inside"
    CLAIM_COMMITTED = "claim.committed"
    ACKNOWLEDGING = "acknowledging"  # the job is claimed, its hint unsettled
    STARTING = "starting"  # the hint is settled, no child has the job
    STARTED = "started"  # a child has it
    HEARTBEAT_INSIDE = "heartbeat.inside"
    HEARTBEAT_COMMITTED = "heartbeat.committed"
    RETURNING = "returning"  # in the child: its job has ended, its worker is not told
    RETURNED = "returned"  # the result has come out of the child's socket
    KEPT = "kept"  # an artifact is stored, no row names it
    FINISH_INSIDE = "finish.inside"
    FINISH_COMMITTED = "finish.committed"
    WAKING = "waking"  # a job has changed, who waits for it is not told
    CANCEL_INSIDE = "cancel.inside"
    CANCEL_COMMITTED = "cancel.committed"
    CANCEL_TOLD = "cancel_told"  # the worker knows of the cancel, the child lives
    CHILD_ENDED = "child_ended"  # the child is killed, no row says so
    END_LOST_INSIDE = "end_lost.inside"
    END_LOST_COMMITTED = "end_lost.committed"
    FAIL_EXPIRED_INSIDE = "fail_expired.inside"
    FAIL_EXPIRED_COMMITTED = "fail_expired.committed"
    RELEASE_INSIDE = "release.inside"  # jobs of a flow are due, since those they follow have ended
    RELEASE_COMMITTED = "release.committed"
    FIRE_DUE_INSIDE = "fire_due.inside"  # the jobs of schedules are added, the schedules moved on
    FIRE_DUE_COMMITTED = "fire_due.committed"


class Injected(Exception):  # noqa: N818
    """A failpoint raised: an error that nobody foresaw."""


_LOST: dict[str, Exception] = {Point.KEPT.value: ArtifactsUnavailable("a failpoint has lost the answer")}
_folder: Path | None = None


def arm(folder: str) -> None:
    """Use the failpoints in a folder from now on, none when it is empty; raises `SettingsInvalid` for unknown ones."""
    global _folder  # noqa: PLW0603 - one check is all that an unarmed point costs
    if not folder:
        return
    try:
        for path in Path(folder).iterdir():
            with suppress(FileNotFoundError):  # it has fired in another process since it was listed
                if path.suffix != ".fired":
                    Point(path.name), Action(path.read_text().strip())
    except (OSError, ValueError) as error:
        raise SettingsInvalid(f"OFFLOAD_FAILPOINTS is {folder!r}: {error}") from None
    _folder = Path(folder)


def environment() -> dict[str, str]:
    """Return what lets a process that this one starts be armed with the same folder."""
    return {"OFFLOAD_FAILPOINTS": str(_folder)} if _folder else {}


def reached(point: Point) -> bool:
    """Do what is armed at this point; returns whether the answer is to be taken for lost."""
    return _folder is not None and _act(_folder, point.value)


def writing(work: Callable[..., object]) -> None:
    """Do what is armed inside the transaction of a verb."""
    if _folder is not None:
        _act(_folder, f"{_verb(work)}.inside", StoreUnavailable("a failpoint"), CommitUnknown("a failpoint"))


def written(work: Callable[..., object]) -> None:
    """Do what is armed behind the commit of a verb."""
    if _folder is not None:
        _act(_folder, f"{_verb(work)}.committed", lost=CommitUnknown("a failpoint"))


def _verb(work: Callable[..., object]) -> str:
    # The function of the store that has defined the work; one for many jobs at once is named `..._all`.
    return work.__qualname__.partition(".")[0].removesuffix("_all")


def _act(folder: Path, point: str, raised: Exception | None = None, lost: Exception | None = None) -> bool:
    fired = folder / f"{point}.fired"
    try:
        (folder / point).rename(fired)
    except FileNotFoundError:
        return False
    action = Action(fired.read_text().strip())
    fired.write_text(f"{action.value} {os.getpid()}")
    match action:
        case Action.KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        case Action.RAISE:
            raise raised or Injected(point)
        case Action.HANG:
            while fired.exists():
                time.sleep(PAUSE_SECONDS)
        case Action.LOSE if lost := lost or _LOST.get(point):
            raise lost
    return action is Action.LOSE
