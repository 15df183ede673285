"""Runs cases in lanes side by side, since they mostly wait: each lane is a thread with services of its own."""

import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from offload_shared.failpoints import Action
from tests.acceptance.conftest import combination
from tests.acceptance.stack import gone, until
from tests.failpoints.cases import Case
from tests.failpoints.lane import Lane, Submitted
from tests.servers.session import Servers

LANES_PER_COMBINATION = 2


@dataclass
class Fired:
    """A case whose point has fired."""

    case: Case
    job: Submitted
    pid: int


class Matrix:
    """The cases of a session, begun as soon as it is made."""

    def __init__(self, wanted: Sequence[Case], servers: Servers | None, folder: Path) -> None:
        self._servers = servers
        self._folder = folder
        self.results: dict[Case, Future[None]] = {case: Future() for case in wanted}
        self._groups: dict[str, deque[list[Case]]] = {}
        for name in dict.fromkeys(case.combination for case in wanted):
            mine = [case for case in wanted if case.combination == name]
            slow = [case for case in mine if case.slow]
            self._groups[name] = deque([slow] * bool(slow) + [[case] for case in mine if not case.slow])
        self._threads = ThreadPoolExecutor(LANES_PER_COMBINATION * len(self._groups))
        self._numbers = iter(range(10**6))
        self._lock = threading.Lock()
        self.closings = {
            name: [self._threads.submit(self._work_off, name) for _ in range(LANES_PER_COMBINATION)]
            for name in self._groups
        }

    def close(self) -> None:
        """Begin no more cases, and wait for those under way."""
        for groups in self._groups.values():
            groups.clear()
        self._threads.shutdown()

    def _work_off(self, name: str) -> None:
        groups = self._groups[name]
        while groups:
            with ExitStack() as cleanup:
                lane = self._open(name, cleanup)
                while group := _next(groups):
                    if not self._try(lane, group):
                        break  # whatever state it is in, it is no other case's
                else:
                    lane.assert_no_end_has_changed()

    def _open(self, name: str, cleanup: ExitStack) -> Lane:
        with self._lock:
            folder = self._folder / f"lane-{next(self._numbers)}"
        folder.mkdir()
        request = cast("Any", SimpleNamespace(getfixturevalue=lambda _: self._servers))
        lane = Lane(cleanup.enter_context(combination(name, request, folder)))
        cleanup.callback(lane.close)
        return lane

    def _try(self, lane: Lane, group: list[Case]) -> bool:
        try:
            run_group(lane, group)
        except BaseException as error:  # noqa: BLE001 - whoever waits for the case is told
            error.add_note(f"logs: {lane.stack.folder}")
            for case in group:
                self.results[case].set_exception(error)
                lane.release(case.row.point)
            return False
        for case in group:
            self.results[case].set_result(None)
        return True


def _next(groups: deque[list[Case]]) -> list[Case] | None:
    try:
        return groups.popleft()
    except IndexError:
        return None


def run_group(lane: Lane, group: list[Case]) -> None:
    """Make the points of these cases fire one after another, then see each job recover."""
    every = [fire(lane, case) for case in group]
    for fired in every:
        recover(lane, fired)
    for fired in every:
        lane.release(fired.case.row.point)
        if fired.case.action is Action.HANG and not fired.case.needs_operator:
            # What was let go on must have come to its end before another case's points are armed.
            lane.restart_in_order(fired.pid)
    lane.assert_nothing_is_left()


def fire(lane: Lane, case: Case) -> Fired:
    """Let a client do what reaches the point, and restart what an orchestrator or an operator would."""
    job = Submitted(case.row.way.body())
    lane.arm(case.row.point, case.action)
    with ThreadPoolExecutor(1) as threads:
        client = threads.submit(case.row.way.client, lane, job)
        pid = lane.fired(case.row.point)
        if case.action is Action.KILL:
            until(lambda: gone(pid), f"the end of process {pid}")
            lane.restart_dead()
        elif case.needs_operator:
            lane.restart(pid)
        client.result()
    return Fired(case, job, pid)


def recover(lane: Lane, fired: Fired) -> None:
    """See that the job ends as it must, once."""
    row, job = fired.case.row, fired.job
    ended = lane.ended(job.id)
    attempts = ended["attempts"]
    outcomes = [each.get("failure") or each["outcome"] for each in attempts]
    expected = row.ends[fired.case.action]
    assert row.way.state == ended["state"], ended
    assert outcomes in expected, f"{outcomes} is none of {expected}"
    assert list(range(1, len(attempts) + 1)) == [each["number"] for each in attempts]
    result = lane.ask("GET", f"/v1/jobs/{job.id}/result")
    if ended["state"] == "succeeded":
        assert 200 == result.status_code
        if job.body["task"] == "probe":
            assert len(attempts) == result.json()["attempt"]
    else:
        assert 409 == result.status_code
    again = row.way.again(lane, job)
    assert (ended["id"], "true") == (job.id, again.headers["Idempotency-Replayed"])
