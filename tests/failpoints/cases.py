"""The cases: how each point is reached, and what becomes of the job, by action."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pika

from offload_shared import topology
from offload_shared.failpoints import Action, Point
from tests.acceptance.stack import gone, until
from tests.failpoints.lane import Lane, Submitted

LONG = 100_000
KILL, RAISE, HANG, LOSE = Action.KILL, Action.RAISE, Action.HANG, Action.LOSE
ALL = (KILL, RAISE, HANG, LOSE)
NO_ANSWER = (KILL, RAISE, HANG)  # where nothing answers, no answer is lost

Client = Callable[[Lane, Submitted], object]
Outcomes = list[list[str]]

ONCE: Outcomes = [["succeeded"]]
LOST: Outcomes = [["lost", "succeeded"]]
CRASHED: Outcomes = [["crashed", "succeeded"]]
ERROR: Outcomes = [["error", "succeeded"]]


@dataclass(frozen=True)
class Way:
    """What a client does so that a point is reached."""

    body: Callable[[], dict[str, Any]]
    client: Client = Lane.submit
    state: str = "succeeded"
    again: Callable[[Lane, Submitted], httpx2.Response] = Lane.submit  # the request repeated


def _probe(action: str, seconds: float = 0.0, **options: Any) -> Callable[[], dict[str, Any]]:
    return lambda: {"task": "probe", "payload": {"action": action, "seconds": seconds}, **options}


def _expiring() -> dict[str, Any]:
    # No worker of a lane takes jobs of its queue.
    return {"task": "echo", "payload": {}, "deadline": (datetime.now(UTC) + timedelta(seconds=1)).isoformat()}


def _cancel(lane: Lane, job: Submitted) -> None:
    lane.submit(job)
    until(lambda: lane.job(job.id)["progress"], "its start")
    answer = lane.ask("POST", f"/v1/jobs/{job.id}/cancel")
    assert answer.status_code in (200, 202), answer.text


def _wait(lane: Lane, job: Submitted) -> None:
    lane.submit(job)

    def known() -> bool:
        answer = lane.ask("GET", f"/v1/jobs/{job.id}/result", headers={"Prefer": "wait=2"})
        return answer.status_code == 200

    until(known, "a waiting client's answer")


def _follow(lane: Lane, job: Submitted) -> httpx2.Response:
    jobs = {"first": {"task": "probe", "payload": {"action": "return"}}, "job": {**job.body, "after": ["first"]}}
    answer = lane.ask("POST", "/v1/flows", json={"jobs": jobs}, headers={"Idempotency-Key": job.key})
    assert 202 == answer.status_code, answer.text
    job.id = answer.json()["jobs"]["job"]["id"]
    return answer


def _abandon_first(lane: Lane, job: Submitted) -> None:
    lane.arm(Point.FINISH_INSIDE, KILL)  # an attempt that nobody keeps
    lane.submit(job)
    pid = lane.fired(Point.FINISH_INSIDE)
    until(lambda: gone(pid), f"the end of process {pid}")
    lane.release(Point.FINISH_INSIDE)
    lane.restart_dead()


def _purge(lane: Lane, job: Submitted) -> None:
    lane.arm(Point.MARK_PUBLISHED_COMMITTED, LOSE)  # tells when the store knows of the hint
    lane.submit(job)
    lane.fired(Point.MARK_PUBLISHED_COMMITTED)
    lane.release(Point.MARK_PUBLISHED_COMMITTED)
    with pika.BlockingConnection(pika.URLParameters(lane.stack.broker_url)) as connection:
        channel = connection.channel()
        arguments = topology.queue_arguments("io")
        until(lambda: channel.queue_declare(**arguments).method.message_count, "its hint")
        channel.queue_purge(topology.queue_name("io"))
        # What connects anew looks whether the broker has lost its messages.
        lane.restart(lane.apis()[0].process.pid)
        until(lambda: channel.queue_declare(**arguments).method.message_count, "its hint, again")
    worker = lane.stack.start_worker("--queue", "io", "--slots", "1")
    lane.ended(job.id)
    worker.end()


PLAIN = Way(_probe("return"))
DELAYED = Way(_probe("return", delay_seconds=0.1))  # hinted at by the relay alone
RUNNING = Way(_probe("spin", 1.0))
ARTIFACT = Way(_probe("artifact"))
CANCELLED = Way(_probe("spin", LONG), _cancel, state="cancelled")
WAITED = Way(_probe("spin", 1.0), _wait)
FOLLOWING = Way(_probe("return"), _follow, again=_follow)
ABANDONED = Way(_probe("return"), _abandon_first)
EXPIRING = Way(_expiring, state="failed")
PURGED = Way(lambda: {"task": "echo", "payload": {}}, _purge)


@dataclass(frozen=True, eq=False)
class Row:
    """A point: how it is reached, and how the job's attempts end by action; several ends where a race decides."""

    point: Point
    way: Way
    ends: dict[Action, Outcomes]
    broker: bool | None = None  # True: only with one
    #: Hangs that last minutes unless somebody ends the worker: its heart beats on for what its own thread forgot.
    operator: bool = False


def _row(
    point: Point,
    way: Way = PLAIN,
    every: Outcomes = ONCE,
    actions: tuple[Action, ...] = ALL,
    *,
    but: dict[Action, Outcomes] | None = None,
    broker: bool | None = None,
    operator: bool = False,
) -> Row:
    return Row(point, way, dict.fromkeys(actions, every) | (but or {}), broker, operator)


ROWS = [
    _row(Point.ADD_INSIDE),
    _row(Point.ADD_COMMITTED),
    _row(Point.ACCEPTED, actions=NO_ANSWER),  # a 202 that comes after the client has left is the hang's end
    _row(Point.CONFIRMING, broker=True),
    _row(Point.MARK_PUBLISHED_INSIDE, broker=True),
    _row(Point.MARK_PUBLISHED_COMMITTED, broker=True),
    _row(Point.TAKE_DUE_INSIDE, DELAYED, broker=True),
    _row(Point.TAKE_DUE_COMMITTED, DELAYED, broker=True),
    _row(Point.DELIVERED, actions=NO_ANSWER),
    _row(Point.CLAIM_INSIDE),
    _row(Point.CLAIM_COMMITTED, every=LOST + ONCE),  # once, where it meets the worker that came too late for the job
    _row(Point.ACKNOWLEDGING, every=LOST + ONCE, actions=NO_ANSWER),  # likewise
    _row(Point.ACKNOWLEDGING, actions=(LOSE,), broker=True),
    _row(Point.STARTING, every=LOST, actions=NO_ANSWER, operator=True, but={RAISE: ERROR}),
    _row(Point.STARTED, every=LOST, actions=NO_ANSWER, operator=True, but={RAISE: ERROR}),
    _row(Point.HEARTBEAT_INSIDE, RUNNING, but={KILL: LOST, HANG: LOST + ONCE}),
    _row(Point.HEARTBEAT_COMMITTED, RUNNING, but={KILL: LOST, HANG: LOST + ONCE}),
    _row(Point.RETURNING, every=CRASHED, actions=(KILL,)),  # one that hangs is its job's timeout's to end
    _row(Point.RETURNED, every=LOST, actions=NO_ANSWER, operator=True, but={RAISE: ERROR}),
    _row(Point.KEPT, ARTIFACT, every=LOST, operator=True, but={LOSE: ERROR}),
    _row(Point.FINISH_INSIDE, but={KILL: LOST, HANG: LOST}),
    _row(Point.FINISH_COMMITTED),
    _row(Point.WAKING, WAITED),
    _row(Point.CANCEL_INSIDE, CANCELLED, [["cancelled"]], but={HANG: [["cancelled"], ["lost"], ["lost", "cancelled"]]}),
    _row(Point.CANCEL_COMMITTED, CANCELLED, [["cancelled"]]),
    _row(Point.CANCEL_TOLD, CANCELLED, [["lost"]], NO_ANSWER, but={RAISE: [["cancelled"]]}),
    _row(Point.CHILD_ENDED, CANCELLED, [["lost"]], NO_ANSWER, operator=True, but={RAISE: [["error"]]}),
    _row(Point.END_LOST_INSIDE, ABANDONED, LOST),
    _row(Point.END_LOST_COMMITTED, ABANDONED, LOST),
    _row(Point.FAIL_EXPIRED_INSIDE, EXPIRING, [[]]),
    _row(Point.FAIL_EXPIRED_COMMITTED, EXPIRING, [[]]),
    _row(Point.RELEASE_INSIDE, FOLLOWING),
    _row(Point.RELEASE_COMMITTED, FOLLOWING),
    _row(Point.FORGET_PUBLISHED_INSIDE, PURGED, broker=True),
    _row(Point.FORGET_PUBLISHED_COMMITTED, PURGED, broker=True),
]

#: With a broker these lose a hint without a trace: the relay repeats it after a minute.
SLOW = {(Point.DELIVERED, RAISE), (Point.DELIVERED, HANG)} | {
    (Point.TAKE_DUE_COMMITTED, a) for a in (RAISE, HANG, LOSE)
}


@dataclass(frozen=True, eq=False)
class Case:
    """A point and an action on a combination of store and broker."""

    combination: str
    row: Row
    action: Action

    def __str__(self) -> str:
        return f"{self.combination}: {self.row.point.value}, {self.action.value}"

    @property
    def slow(self) -> bool:
        return "rabbitmq" in self.combination and (self.row.point, self.action) in SLOW

    @property
    def needs_operator(self) -> bool:
        # SQLite's one writer: who hangs inside a transaction keeps everybody from writing.
        locks_the_store = self.combination.startswith("sqlite") and self.row.point.value.endswith(".inside")
        return self.action is HANG and (self.row.operator or locks_the_store)


def cases(combination: str) -> list[Case]:
    rows = [row for row in ROWS if "rabbitmq" in combination or not row.broker]
    return [Case(combination, row, action) for row in rows for action in row.ends]
