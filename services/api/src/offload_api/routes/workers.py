"""Workers: which there are, and what each runs."""

from datetime import datetime

import msgspec
from litestar import Response, Router, route
from litestar.di import NamedDependency

from offload_api.access import needs
from offload_api.reading import JSON
from offload_api.services import Services
from offload_api.views import job_path
from offload_shared.keys import Scope
from offload_shared.store import workers
from offload_shared.store.workers import LiveWorker

HEADERS = {"Cache-Control": "no-store"}


class QueueSlots(msgspec.Struct, frozen=True):
    """A queue that a worker takes jobs from, and how many at once."""

    name: str
    slots: int


class UnknownTask(msgspec.Struct, frozen=True):
    """A task, or a version of one, of which jobs wait."""

    task: str
    version: int


class HeldJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job that a worker runs."""

    id: str
    task: str
    queue: str
    attempt: int
    started_at: datetime
    cancel_requested: bool
    href: str


class WorkerView(msgspec.Struct, frozen=True, kw_only=True):
    """A worker process; `paused` says why it takes no jobs for a while, and is null while it does.

    Jobs of what is `unknown` to it wait in its queues for another.
    """

    name: str
    host: str
    pid: int
    version: str
    queues: list[QueueSlots]
    started_at: datetime
    seen_at: datetime
    draining: bool
    paused: str | None
    unknown: list[UnknownTask]
    running: int
    jobs: list[HeldJob]


class WorkerList(msgspec.Struct, frozen=True):
    """Every worker that was heard of within its lease, by name."""

    workers: list[WorkerView]


def worker_view(worker: LiveWorker) -> WorkerView:
    """Return what an operator is shown of a worker."""
    said = worker.presence
    return WorkerView(
        name=said.name,
        host=said.host,
        pid=said.pid,
        version=said.version,
        queues=[QueueSlots(queue, slots) for queue, slots in sorted(said.slots.items())],
        started_at=worker.started_at,
        seen_at=worker.seen_at,
        draining=said.draining,
        paused=said.paused,
        unknown=[UnknownTask(*each) for each in said.unknown],
        running=worker.running,
        jobs=[HeldJob(**msgspec.structs.asdict(job), href=job_path(job.id)) for job in worker.jobs],
    )


@route("/", http_method=["GET", "HEAD"], opt=needs(Scope.ADMIN, operator=True))
async def index(services: NamedDependency[Services]) -> Response[bytes]:
    """Answer with every worker that lives."""
    found = await services.store.scan(workers.live)
    body = WorkerList([worker_view(worker) for worker in found])
    return Response(msgspec.json.encode(body), media_type=JSON, headers=HEADERS)


router = Router("/workers", route_handlers=[index])
