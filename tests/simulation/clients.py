"""Clients of the API: they submit with keys, repeat what was not answered, look, cancel, and remember the answers."""

from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec

from tests.simulation.processes import Answer, Api
from tests.simulation.scheduler import Process, Signal

if TYPE_CHECKING:
    from tests.simulation.world import World

#: A client waits so long for an answer.
PATIENCE_SECONDS = 5.0
#: What has not been accepted by then never is.
MOST_TRIES = 200


class Client:
    """One client with one job after another."""

    def __init__(self, world: "World", number: int, jobs: int) -> None:
        self._world = world
        self._process = Process(f"client-{number}")
        self._number = number
        self._jobs = jobs
        self.done = False
        world.scheduler.spawn(self._process, self._live)

    def _live(self) -> None:
        world, rng = self._world, self._world.rng
        for number in range(self._jobs):
            world.scheduler.sleep(rng.random() * world.profile.seconds / self._jobs)
            if number == self._jobs - 1 and rng.random() < 0.4:
                world.wait_for_calm()
            self._one_job(f"key-{self._number}-{number}")
        self.done = True

    def _one_job(self, key: str) -> None:
        world, rng = self._world, self._world.rng
        body = self._body()
        job_id = self._submitted(body, key)
        if job_id is None:
            return
        if rng.random() < 0.1:
            self._submitted(body, key)  # repeated though it was answered
        if rng.random() < 0.3:
            world.scheduler.sleep(rng.random() * 12.0)
            self._cancel(job_id)
        for _ in range(rng.randrange(3)):
            world.scheduler.sleep(rng.random() * 6.0)
            self._ask(lambda api: api.show(job_id), job_id)

    def _body(self) -> bytes:
        rng = self._world.rng
        body: dict[str, object] = {"task": "echo", "payload": {"text": "x"}, "timeout_seconds": 40.0}
        if rng.random() < 0.5:
            body |= {"task": "probe", "payload": {"action": "return"}}
        if rng.random() < 0.25:
            body["delay_seconds"] = rng.random() * 10.0
        if rng.random() < 0.15:
            deadline = datetime.fromtimestamp(self._world.wall() + rng.uniform(1.0, 20.0), UTC)
            body["deadline"] = deadline.isoformat()
        body["max_attempts"] = rng.choice([1, 2, 3])
        return msgspec.json.encode(body)

    def _submitted(self, body: bytes, key: str) -> str | None:
        job = self._accepted(lambda api: api.submit(body, key), patience=2)
        if job is None:
            return None
        job_id = str(job["id"])
        self._world.checker.acknowledged(key, job_id)
        return job_id

    def _accepted(self, send: Callable[[Api], Answer], *, patience: int) -> Any:
        """Return what a 202 has answered, or None where the client has given up, past so many tries."""
        for tries in range(1, MOST_TRIES + 1):
            answer = self._ask(send)
            if answer and answer.status == HTTPStatus.ACCEPTED:
                return answer.body
            if tries > patience and self._world.rng.random() < 0.05 and not self._world.is_calm:
                self._world.count("client gave up")
                return None
            self._world.scheduler.sleep(0.5 + self._world.rng.random() * 2.0)
        raise AssertionError("it was never accepted")

    def _cancel(self, job_id: str) -> None:
        for _ in range(20):
            answer = self._ask(lambda api: api.cancel(job_id), job_id)
            if answer and answer.status in (HTTPStatus.OK, HTTPStatus.ACCEPTED, HTTPStatus.CONFLICT):
                if answer.status != HTTPStatus.CONFLICT:
                    self._world.checker.cancel_answered(job_id)
                return
            self._world.scheduler.sleep(0.5 + self._world.rng.random())

    def _ask(self, call: Callable[[Api], Answer], job_id: str = "") -> Answer | None:
        world = self._world
        if not world.apis:
            return None
        api = world.rng.choice(world.apis)
        came, answers = Signal(world.scheduler), list[Answer]()
        floor = world.checker.told_version(job_id)

        def serve() -> None:
            answer = call(api)
            if not world.chance(world.profile.answer_lost):
                answers.append(answer)
                came.notify()

        world.scheduler.spawn(api.process, serve)
        came.wait(PATIENCE_SECONDS)
        answer = answers[0] if answers else None
        if answer is not None and answer.status < HTTPStatus.BAD_REQUEST and "attempts" in answer.body:
            world.checker.told(answer.body, answer.version, floor)
        return answer


#: What the jobs of a simulated flow follow, and what becomes of them when it has not succeeded.
FLOW: dict[str, dict[str, object]] = {
    "left": {},
    "right": {},
    "both": {"payload": {"text": {"$result": "left"}}, "after": ["right"]},
    "strict": {"after": ["right"], "if_failed": "fail"},
    "last": {"after": ["both", "strict"], "if_failed": "run"},
}


class FlowClient(Client):
    """A client whose jobs are flows."""

    def _one_job(self, key: str) -> None:
        world, rng = self._world, self._world.rng
        tries = rng.choice([1, 2, 3])
        jobs = {name: {"task": "echo", "payload": {}, "max_attempts": tries, **more} for name, more in FLOW.items()}
        body = msgspec.json.encode({"jobs": jobs})
        flow = self._submitted_flow(body, key)
        if flow is None:
            return
        if rng.random() < 0.2:
            self._submitted_flow(body, key)  # repeated though it was answered
        if rng.random() < 0.3:
            world.scheduler.sleep(rng.random() * 12.0)
            self._cancel(flow["jobs"][rng.choice(list(FLOW))]["id"])
        if rng.random() < 0.2:
            world.scheduler.sleep(rng.random() * 12.0)
            self._ask(lambda api: api.cancel_flow(flow["id"]))

    def _submitted_flow(self, body: bytes, key: str) -> Any:
        flow = self._accepted(lambda api: api.submit_flow(body, key), patience=0)
        if flow is not None:
            ids = {name: job["id"] for name, job in flow["jobs"].items()}
            self._world.checker.acknowledged_flow(key, ids)
        return flow
