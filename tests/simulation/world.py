"""One seed: its processes, its faults, its time, and what came of it."""

import hashlib
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from offload_shared.errors import StoreUnavailable
from tests.simulation import faults
from tests.simulation.broker import Broker
from tests.simulation.checker import Checker
from tests.simulation.clients import Client, FlowClient
from tests.simulation.patches import simulated
from tests.simulation.processes import Api, Worker
from tests.simulation.scheduler import Process, Scheduler
from tests.simulation.store import RealStore, real_store

APIS = 2
WORKERS = 2
#: From the last fault until every process is there again and knows it.
SETTLING_SECONDS = 13.0
#: Within this time after the last fault every job is final; a hint that got lost is repeated after up to four minutes.
LIVENESS_SECONDS = 900.0
#: So long nothing may change once all is final.
AFTER_SECONDS = 5.0
#: In a long calm what has nothing to do looks less often, to spare the processor.
LAZY_AFTER_SECONDS, LAZINESS = 20.0, 5.0
EPOCH = 1_800_000_000.0

TRACE_LINES = 60

#: What a violation begins with that is an error and no invariant of the protocol.
UNEXPECTED = "nothing unexpected is raised"


@dataclass
class Verdict:
    """What came of a seed."""

    seed: int
    violation: str = ""  # the invariant, in a sentence; empty when all hold
    story: str = ""  # the end of the trace of the job concerned
    digest: str = ""  # of the complete trace
    simulated_seconds: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)


class World:
    """All that a seed simulates."""

    def __init__(self, seed: int, real: RealStore) -> None:
        self.seed = seed
        self.real = real
        self.rng = random.Random(seed)
        self.profile = faults.draw(self.rng, seed)
        self.scheduler = Scheduler(self.rng, self.raised)
        self.checker = Checker(self)
        self.counts: Counter[str] = Counter()
        self.artifacts: set[str] = set()
        self.store_away_until = 0.0
        self.calm_at = self.profile.seconds + SETTLING_SECONDS
        self.apis: list[Api] = []
        self.workers: list[Worker] = []
        self.broker: Broker | None = None
        self.violation: tuple[str, str] | None = None
        self._jumped = 0.0
        self._names = 0
        self._clients: list[Client] = []
        self._quiet_since: float | None = None
        self._trace: list[tuple[float, str, str, str]] = []

    def run(self) -> Verdict:
        """Live through it."""
        with simulated(self), self.real.emptied(self.wall):
            self.broker = None if self.profile.embedded else Broker(self)
            for _ in range(APIS):
                self._start(Api)
            for _ in range(WORKERS):
                self._start(Worker)
            self._clients = [Client(self, number, jobs=self.rng.randint(1, 3)) for number in range(3)]
            if self.profile.flows:
                self._clients.append(FlowClient(self, 3, jobs=self.rng.randint(1, 2)))
            faults.schedule(self)
            self.scheduler.at(self.profile.seconds, self._faults_end)
            self.scheduler.at(self.calm_at, self._look_whether_quiet)
            self.scheduler.run()
            if self.violation is None:
                self.checker.final_check()
        return self._verdict()

    def _verdict(self) -> Verdict:
        digest = hashlib.sha256(repr(self._trace).encode()).hexdigest()
        verdict = Verdict(self.seed, digest=digest, simulated_seconds=self.scheduler.now, counts=self.counts)
        if self.violation:
            verdict.violation, job_id = self.violation
            verdict.story = self._story(job_id)
        return verdict

    def _story(self, job_id: str) -> str:
        return "\n".join([f"job {job_id}" if job_id else "all jobs", *self.lines(job_id)[-TRACE_LINES:]])

    def lines(self, job_id: str = "") -> list[str]:
        """Return the trace, of one job or of all."""
        return [
            f"{time:9.3f}  {who:10}  {what}{f'  {about}' if not job_id else ''}".rstrip()
            for time, who, what, about in self._trace
            if not job_id or about in ("", job_id)
        ]

    # Time

    def wall(self) -> float:
        """Return what the store's clock shows."""
        return EPOCH + self.scheduler.now + self._jumped

    def jump(self, seconds: float) -> None:
        """Set the store's clock forward or back."""
        self.count("clock jump")
        self.note(None, f"the store's clock jumps by {seconds:g} s")
        self._jumped += seconds
        self.checker.clock_jumped()

    def latency(self) -> None:
        """Let a call take its time: others have their turn."""
        slow = self.chance(self.profile.slow)
        self.scheduler.sleep(self.rng.random() * (4.0 if slow else 0.02))

    @property
    def is_calm(self) -> bool:
        """Whether the faults are over."""
        return self.scheduler.now >= self.profile.seconds

    def wait_for_calm(self) -> None:
        """Let the thread that runs now sleep until all is in order again."""
        self.scheduler.sleep(max(0.0, self.calm_at - self.scheduler.now))

    def bounded(self, seconds: float) -> float:
        """Return the time so many seconds from now, but none after the last fault."""
        return min(self.scheduler.now + seconds, self.profile.seconds)

    def every(self, process: Process, seconds: float, step: Callable[[], object], *, steady: bool = False) -> None:
        """Call `step` on a thread of its own, as the services do; `steady` also in a long calm."""

        def repeat() -> None:
            while True:
                lazy = not steady and self.scheduler.now > self.calm_at + LAZY_AFTER_SECONDS
                self.scheduler.sleep(seconds * (0.75 + self.rng.random() / 2) * (LAZINESS if lazy else 1.0))
                try:
                    step()
                except StoreUnavailable:
                    continue  # the next step may succeed

        self.scheduler.spawn(process, repeat)

    # Faults

    def chance(self, probability: float) -> bool:
        """Whether a fault of this probability happens now."""
        return probability > 0 and not self.is_calm and self.rng.random() < probability

    def store_is_away(self, process: Process) -> bool:
        """Whether a process cannot reach the store now."""
        now = self.scheduler.now
        if now < self.store_away_until or now < process.cut_until:
            return True
        if self.chance(self.profile.store_unavailable):
            self.count("statement failed")
            return True
        return False

    def may_crash(self, process: Process, where: str) -> None:
        """Let a process die at this very point, if the seed says so."""
        profile = self.profile
        if self.chance(profile.crash_before_commit if where == "before a commit" else profile.crash_after_commit):
            self.crash(process, f"crashes {where}")
        self.scheduler.check()

    def crash(self, process: Process, how: str) -> None:
        """End a process at once, and start another in its place after a while."""
        if not process.alive:
            return
        self.count(f"process {how}")
        self.note(process, how)
        process.alive = False
        self.checker.process_ended(process)
        if self.broker:
            self.broker.disconnect(process)
        apis = [api for api in self.apis if api.process is not process]
        kind: type[Api | Worker] = Api if len(apis) < len(self.apis) else Worker
        self.apis = apis
        self.workers = [worker for worker in self.workers if worker.process is not process]
        self.scheduler.at(self.scheduler.now + 0.5 + self.rng.random() * 5, lambda: self._start(kind))

    def living(self) -> list[Process]:
        """Return the processes of the services."""
        return [api.process for api in self.apis] + [worker.process for worker in self.workers]

    def stop_broker(self, *, lose_all: bool) -> None:
        """Take the broker down."""
        assert self.broker is not None
        self.note(None, "the broker goes down" + (" and loses everything" if lose_all else ""))
        self.broker.stop(lose_all=lose_all)
        for api in self.apis:
            if api.publisher:
                api.publisher.broker_stopped()

    def start_broker(self) -> None:
        """Bring it back."""
        assert self.broker is not None
        self.note(None, "the broker is there")
        self.broker.start()

    def _faults_end(self) -> None:
        self.note(None, "the faults end")
        faults.last_loss(self)

    def _start(self, kind: type[Api | Worker]) -> None:
        self._names += 1
        process = Process(f"{kind.__name__.lower()}-{self._names}")
        self.note(process, "starts")
        if kind is Api:
            self.apis.append(Api(self, process))
        else:
            self.workers.append(Worker(self, process))

    def _look_whether_quiet(self) -> None:
        now = self.scheduler.now
        quiet = self.checker.quiet and all(client.done for client in self._clients)
        self._quiet_since = (self._quiet_since or now) if quiet else None
        over = self._quiet_since is not None and now >= self._quiet_since + AFTER_SECONDS
        if over or now > self.profile.seconds + LIVENESS_SECONDS:
            self.scheduler.stop()
        else:
            self.scheduler.at(now + 1.0, self._look_whether_quiet)

    # What is remembered

    def new_id(self) -> str:
        """Return an id of the seed's."""
        return f"{self.rng.getrandbits(128):032x}"

    def note(self, process: Process | None, what: str, job_id: str = "") -> None:
        """Add a line to the trace."""
        self._trace.append((self.scheduler.now, process.name if process else "", what, job_id))

    def count(self, what: str, times: int = 1) -> None:
        """Count for the summary."""
        self.counts[what] += times

    def raised(self, process: Process, error: BaseException) -> None:
        """Take note of an error that nothing expects, such as a trigger's refusal."""
        sentence = " ".join(str(error).split())[:300]
        self.violated(f"{UNEXPECTED}: {process}: {type(error).__name__}: {sentence}", "")

    def violated(self, invariant: str, job_id: str) -> None:
        """End the seed: an invariant does not hold."""
        if self.violation is None:
            self.note(None, f"VIOLATED: {invariant}", job_id)
            self.violation = (invariant, job_id)
            self.scheduler.stop()


def simulate(seed: int, real: RealStore | None = None) -> Verdict:
    """Run one seed."""
    return World(seed, real or real_store()).run()
