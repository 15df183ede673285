"""The services as simulated processes: the project's own code, put together as its services do it."""

import contextlib
from collections.abc import Callable, Coroutine, Sequence
from functools import cache, partial
from http import HTTPStatus
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import msgspec
from litestar.datastructures import Headers

from offload_api.access import Caller
from offload_api.flows import Flows
from offload_api.held import HeldBodies
from offload_api.metrics import ApiMetrics
from offload_api.problems import Problem
from offload_api.relay import Relay
from offload_api.releasing import Releaser
from offload_api.routes import flows as flow_routes
from offload_api.routes import jobs as routes
from offload_api.routes import submitting
from offload_api.settings import ApiSettings
from offload_api.submissions import Submissions
from offload_shared import tasks
from offload_shared.errors import CommitUnknown, StoreUnavailable
from offload_shared.job import Hint, NewJob
from offload_shared.store import hints, jobs, leases
from offload_shared.store.jobs import Added
from offload_shared.store.sweeper import Sweeper
from offload_shared.tasks.task import RunsIn
from offload_worker import watchdog
from offload_worker.breaker import Breaker
from offload_worker.broker import Delivery
from offload_worker.executor import Executor
from offload_worker.lease import LeaseKeeper
from offload_worker.metrics import WorkerMetrics
from offload_worker.running import Running
from offload_worker.slots import Slots
from tests.simulation.broker import QUEUES, Broker, SimulatedConsumer, SimulatedPublisher
from tests.simulation.runner import SimulatedRunner
from tests.simulation.scheduler import Crashed, Process
from tests.simulation.store import SimulatedDatabase

if TYPE_CHECKING:
    from tests.simulation.world import World

LEASE_SECONDS = 9.0
RELAY_SECONDS = 4.0
SWEEP_SECONDS = 4.0
RELEASE_SECONDS = 3.0
WATCH_SECONDS = 1.0
SLOTS = 2
GRACE_SECONDS = 4.0
STORE_ANSWER_SECONDS = 2.5
TASKS = ("echo", "probe")
KNOWN = tuple((name, 1) for name in TASKS)


@cache
def _flows() -> Flows:
    return Flows(_submissions())


@cache
def _submissions() -> Submissions:
    return Submissions({name: tasks.registry()[name] for name in TASKS}, ApiSettings())


class Answer(msgspec.Struct, frozen=True):
    """What a client is told."""

    status: int
    version: int = 0  # of the job, by its entity tag
    body: Any = None


def drive(steps: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that waits for nothing but simulated effects, which block its thread."""
    try:
        steps.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("a coroutine waited for something that is not simulated")


class SimulatedStore:
    """As `offload_api.store.Store`."""

    def __init__(self, world: "World", database: SimulatedDatabase) -> None:
        self._world = world
        self._database = database

    async def run(self, verb: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
        began = self._world.scheduler.now
        answer = verb(self._database, *arguments, **keywords)
        if self._world.scheduler.now - began > STORE_ANSWER_SECONDS:
            raise CommitUnknown("simulated: it took too long")
        return answer


class BodiesLookedIntoAtOnce(HeldBodies):
    """Needs no thread of the machine, which the scheduler would know nothing of."""

    async def look_into(self, body: bytes, look: Callable[..., Any], *more: Any, **named: Any) -> Any:
        return look(body, *more, **named)


class Api:
    """One API process: the routes, the publisher, the relay, the releaser and a sweeper."""

    def __init__(self, world: "World", process: Process) -> None:
        self.process = process
        self._world = world
        database = SimulatedDatabase(world, process, world.real.database)
        store = SimulatedStore(world, database)
        self.publisher = SimulatedPublisher(world, process, world.broker) if world.broker else None

        async def submit(new: NewJob) -> Added:
            [added] = await store.run(jobs.add, [new])
            return cast("Added", added)

        async def alone(_tenant: str, call: Callable[[], Any]) -> Any:
            return await call()

        def hint(due: Sequence[Hint]) -> None:
            if self.publisher and due:
                self.publisher.publish(due)

        self.services = cast(
            "Any",
            SimpleNamespace(
                settings=ApiSettings(),
                submissions=_submissions(),
                bodies=BodiesLookedIntoAtOnce(most_bytes=2**20, patience_seconds=1),
                metrics=ApiMetrics(TASKS),
                additions=SimpleNamespace(submit=submit, alone=alone),
                store=store,
                hint=hint,
                flows=_flows(),
            ),
        )
        if world.profile.flows:
            releaser = Releaser(cast("Any", store), hint)
            world.every(process, RELEASE_SECONDS, lambda: drive(releaser.release()))
        sweeper = Sweeper(database, lease_seconds=LEASE_SECONDS, clock=lambda: world.scheduler.now)
        world.every(process, SWEEP_SECONDS, sweeper.sweep)
        if self.publisher:
            relay = Relay(cast("Any", store), cast("Any", self.publisher), clock=lambda: world.scheduler.now)
            world.every(process, RELAY_SECONDS, lambda: drive(relay.step()))

    def submit(self, body: bytes, key: str) -> Answer:
        """POST /v1/jobs."""
        headers = {"content-type": "application/json", "idempotency-key": key}
        return self._answer(submitting.submit, _request(headers, body), self.services)

    def submit_flow(self, body: bytes, key: str) -> Answer:
        """POST /v1/flows."""
        headers = {"content-type": "application/json", "idempotency-key": key}
        return self._answer(flow_routes.submit_flow, _request(headers, body), self.services)

    def cancel_flow(self, flow_id: str) -> Answer:
        """POST /v1/flows/{id}/cancel."""
        return self._answer(flow_routes.cancel_flow, _request({}), self.services, flow_id)

    def show(self, job_id: str) -> Answer:
        """GET /v1/jobs/{id}."""
        return self._answer(routes.show, _request({}), self.services, job_id)

    def cancel(self, job_id: str) -> Answer:
        """POST /v1/jobs/{id}/cancel."""
        return self._answer(routes.cancel, _request({}), self.services, job_id)

    def _answer(self, route: Any, *arguments: Any) -> Answer:
        try:
            response = drive(route.fn(*arguments))
        except Problem as problem:
            return Answer(problem.details.status)
        except StoreUnavailable:
            return Answer(HTTPStatus.SERVICE_UNAVAILABLE)
        except Crashed:
            raise
        except Exception as error:  # noqa: BLE001 - as the API answers it
            self._world.raised(self.process, error)
            return Answer(HTTPStatus.INTERNAL_SERVER_ERROR)
        version = int(response.headers["ETag"].strip('"').partition("-")[0])
        return Answer(response.status_code, version, msgspec.json.decode(response.content))


def _request(headers: dict[str, str], body: bytes = b"") -> Any:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    return SimpleNamespace(headers=Headers(headers), receive=receive, auth=Caller(), client=None)


class Worker:
    """One worker process: executor threads, lease keeper, watchdog and a sweeper."""

    def __init__(self, world: "World", process: Process) -> None:
        self.process = process
        self._world = world
        database = SimulatedDatabase(world, process, world.real.database)
        self._database = database
        self._slots = Slots(SLOTS)
        self.running = Running()
        self._draining = False
        runner = SimulatedRunner(world, process)
        claiming: dict[str, Any] = {"worker": process.name, "lease_seconds": LEASE_SECONDS, "tasks": KNOWN}
        self._executor = Executor(
            claim=lambda job_id: leases.claim(database, job_id, **claiming),
            finish=lambda end: leases.finish(database, end.lease, end.outcome, end.usage, end.last_words),
            database=database,
            artifacts=cast("Any", None),  # only the workspace uses it, and it is simulated
            runners=dict.fromkeys(RunsIn, runner),
            running=self.running,
            metrics=WorkerMetrics(),
            breaker=Breaker([self._slots], pause_seconds=5.0, clock=lambda: world.scheduler.now),
            folder=Path("simulated"),
            lease_seconds=LEASE_SECONDS,
            job_ended=lambda: None,
        )
        keeper = LeaseKeeper(database, self.running, worker=process.name, lease_seconds=LEASE_SECONDS)
        sweeper = Sweeper(database, lease_seconds=LEASE_SECONDS, clock=lambda: world.scheduler.now)
        world.every(process, WATCH_SECONDS, keeper.step, steady=True)
        world.every(process, WATCH_SECONDS, self._watch, steady=True)
        world.every(process, SWEEP_SECONDS, sweeper.sweep)
        look = partial(self._deliveries_of_broker, world.broker) if world.broker else self._deliveries_of_store
        for _ in range(SLOTS):
            world.scheduler.spawn(process, partial(self._work, look()))

    def _watch(self) -> None:
        nothing_measured = cast("Any", None)
        for attempt in self.running.all():
            watchdog.check(attempt, nothing_measured)

    def _work(self, following: Callable[[], Delivery | None]) -> None:
        while not self._draining:
            if not self._slots.take():
                self._world.scheduler.sleep(1.0)
                continue
            delivery = following()
            if delivery:
                self._executor.execute(delivery)
                delivery.settle()  # as the consumer does once the actor is done
            self._slots.release()

    def _deliveries_of_broker(self, broker: Broker) -> Callable[[], Delivery | None]:
        consumer = SimulatedConsumer(self._world, self.process, broker)
        return partial(consumer.next, 5.0)

    def _deliveries_of_store(self) -> Callable[[], Delivery | None]:
        def following() -> Delivery | None:
            for queue in QUEUES:
                try:
                    due = hints.due(self._database, queue, tasks=KNOWN, limit=2)
                except StoreUnavailable:
                    due = []
                if due:
                    return Delivery(self._world.rng.choice(due).job_id, lambda: None)
            self._world.scheduler.sleep(2.0)
            return None

        return following

    def drain(self) -> None:
        """End as on SIGTERM: wait for the jobs, give the rest back, abandon what does not end."""
        self._draining = True
        self._slots.close()
        self._wait_until_idle(GRACE_SECONDS)
        self._executor.drain()
        if not self._wait_until_idle(5.0):
            with contextlib.suppress(StoreUnavailable):  # else their leases run out
                self._executor.abandon()
        self._world.crash(self.process, "ends")

    def _wait_until_idle(self, seconds: float) -> bool:
        end = self._world.scheduler.now + seconds
        while self.running.all() and self._world.scheduler.now < end:
            self._world.scheduler.sleep(0.2)
        return not self.running.all()
