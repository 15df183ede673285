"""Queues: how they stand, and whether their jobs are taken."""

from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus
from urllib.parse import quote

import msgspec
from litestar import Response, Router, post, route
from litestar.di import NamedDependency
from litestar.params import FromPath

from offload_api.access import needs
from offload_api.problems import Problem
from offload_api.reading import JSON
from offload_api.services import Services
from offload_shared.keys import Scope
from offload_shared.store import queues
from offload_shared.store.database import Database
from offload_shared.store.queues import LONGEST_NAME, QueueStatus

HEADERS = {"Cache-Control": "no-store"}


class QueueLinks(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where to go from here."""

    jobs: str
    pause: str | None = None
    resume: str | None = None


class QueueView(msgspec.Struct, frozen=True, kw_only=True):
    """A queue: whether its jobs are taken, and how many have not ended."""

    name: str
    paused: bool
    paused_at: datetime | None
    queued: int
    scheduled: int
    running: int
    oldest_due_seconds: float | None
    links: QueueLinks


class QueueList(msgspec.Struct, frozen=True):
    """Every queue, by name."""

    queues: list[QueueView]


def queue_view(status: QueueStatus) -> QueueView:
    """Return what an operator is shown of a queue."""
    here = f"/v1/queues/{quote(status.name, safe='')}"
    paused = status.paused_at is not None
    return QueueView(
        name=status.name,
        paused=paused,
        paused_at=status.paused_at,
        queued=status.queued,
        scheduled=status.scheduled,
        running=status.running,
        oldest_due_seconds=status.oldest_due_seconds,
        links=QueueLinks(
            jobs=f"/v1/jobs?queue={quote(status.name, safe='')}",
            pause=None if paused else f"{here}/pause",
            resume=f"{here}/resume" if paused else None,
        ),
    )


@route("/", http_method=["GET", "HEAD"], opt=needs(Scope.ADMIN, operator=True))
async def index(services: NamedDependency[Services]) -> Response[bytes]:
    """Answer with every queue."""
    statuses = await services.store.scan(queues.statuses, services.queues)
    return _answer(QueueList([queue_view(status) for status in statuses]))


@post("/{name:str}/pause", status_code=HTTPStatus.OK, opt=needs(Scope.ADMIN, operator=True))
async def pause(services: NamedDependency[Services], name: FromPath[str]) -> Response[bytes]:
    """Let no worker claim a job of a queue any more."""
    return await _changed(services, name, queues.pause)


@post("/{name:str}/resume", status_code=HTTPStatus.OK, opt=needs(Scope.ADMIN, operator=True))
async def resume(services: NamedDependency[Services], name: FromPath[str]) -> Response[bytes]:
    """Let workers claim jobs of a queue again."""
    return await _changed(services, name, queues.resume)


async def _changed(services: Services, name: str, verb: Callable[[Database, str], None]) -> Response[bytes]:
    if name not in services.queues and not await _is_known(services, name):
        detail = "There is no such queue; GET /v1/queues lists those there are."
        raise Problem(HTTPStatus.NOT_FOUND, "unknown-queue", "Unknown queue", detail)
    await services.store.run(verb, name)
    statuses = await services.store.scan(queues.statuses, {name})
    return _answer(next(queue_view(status) for status in statuses if status.name == name))


async def _is_known(services: Services, name: str) -> bool:
    # No database takes a NUL.
    return len(name) <= LONGEST_NAME and name.isprintable() and await services.store.scan(queues.is_known, name)


def _answer(body: QueueView | QueueList) -> Response[bytes]:
    return Response(msgspec.json.encode(body), media_type=JSON, headers=HEADERS)


router = Router("/queues", route_handlers=[index, pause, resume])
