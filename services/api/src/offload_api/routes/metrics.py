"""What this process has counted, and how the queues stand, for Prometheus."""

import asyncio
import logging

from litestar import Response, Router, route
from litestar.di import NamedDependency
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from offload_api.access import OPEN
from offload_api.services import Services
from offload_shared.errors import StoreUnavailable
from offload_shared.store.queues import QueueStatus

HEADERS = {"Cache-Control": "no-store"}
MEDIA_TYPE = CONTENT_TYPE_PLAIN_0_0_4.partition("; charset")[0]  # which Litestar adds itself

_log = logging.getLogger(__name__)


@route("/metrics", http_method=["GET", "HEAD"], opt=OPEN)  # there is nothing of any tenant in it
async def show(services: NamedDependency[Services]) -> Response[bytes]:
    """Answer with all of it, also while the store is away."""
    # On a thread: to write it all out takes milliseconds, during which others are to be answered.
    text = await asyncio.to_thread(services.metrics.render, await _queues(services))
    return Response(text, media_type=MEDIA_TYPE, headers=HEADERS)


async def _queues(services: Services) -> list[QueueStatus] | None:
    try:
        return await services.queue_statuses.get()
    except StoreUnavailable as error:
        _log.debug("metrics are given without the queues: %s", error)
        return None


router = Router("/", route_handlers=[show])
