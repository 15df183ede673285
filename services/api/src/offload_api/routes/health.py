"""Whether the process lives, and whether it can do its work."""

from http import HTTPStatus
from typing import Literal

import msgspec
from litestar import Response, Router, route
from litestar.di import NamedDependency

from offload_api.access import OPEN
from offload_api.services import Services
from offload_shared.errors import StoreUnavailable
from offload_shared.store.database import Database

JSON = "application/json"


class Liveness(msgspec.Struct, frozen=True):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """What the process can reach; without the broker it goes on accepting jobs, without the store it cannot."""

    status: Literal["ok", "unavailable"]
    store: Literal["ok", "unreachable"]
    broker: Literal["ok", "unreachable", "embedded"]  # embedded: there is none, workers read the store


@route("/live", http_method=["GET", "HEAD"], opt=OPEN)
async def live() -> Response[bytes]:
    """Answer, which is all there is to it."""
    return _answer(Liveness(), HTTPStatus.OK)


@route("/ready", http_method=["GET", "HEAD"], opt=OPEN)
async def ready(services: NamedDependency[Services]) -> Response[bytes]:
    """Answer 200 when jobs can be accepted, 503 when not."""
    try:
        await services.store.run(Database.ping)
    except StoreUnavailable:
        body = Readiness(status="unavailable", store="unreachable", broker=_broker(services))
        return _answer(body, HTTPStatus.SERVICE_UNAVAILABLE)
    return _answer(Readiness(status="ok", store="ok", broker=_broker(services)), HTTPStatus.OK)


def _broker(services: Services) -> Literal["ok", "unreachable", "embedded"]:
    if services.publisher is None:
        return "embedded"
    return "ok" if services.publisher.connected else "unreachable"


def _answer(body: Liveness | Readiness, status: HTTPStatus) -> Response[bytes]:
    headers = {"Cache-Control": "no-store"}
    return Response(msgspec.json.encode(body), status_code=status, media_type=JSON, headers=headers)


router = Router("/health", route_handlers=[live, ready])
