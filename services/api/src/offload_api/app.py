"""The Litestar application: routes, errors, and what runs beside the requests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from litestar import Litestar
from litestar.di import Provide

from offload_api import access, problems
from offload_api.admission import Admission
from offload_api.background import Background
from offload_api.routes import (
    administration,
    audit,
    docs,
    events,
    files,
    flows,
    health,
    jobs,
    keys,
    output,
    schedules,
    schema,
    submitting,
    tasks,
    webhooks,
)
from offload_api.services import Services

ROUTES = (
    *(submitting, jobs, flows, schedules, output, events, tasks, files),
    *(webhooks, keys, audit, administration, health, schema, docs),
)


def create_app(services: Services) -> Litestar:
    """Return the application on top of its services; connects to nothing until it is started."""

    @asynccontextmanager
    async def running(_: Litestar) -> AsyncIterator[None]:
        async with Background(services):
            yield

    admission = Admission(identify=services.identify, limiter=services.limiter, trail=services.trail)
    app = Litestar(
        route_handlers=[each.router for each in ROUTES],
        dependencies={"services": Provide(lambda: services, use_cache=True, sync_to_thread=False)},
        exception_handlers=problems.HANDLERS,
        lifespan=[running],
        middleware=[admission.around],
        logging_config=None,
        openapi_config=None,
        request_max_body_size=None,  # each route keeps its own limit, while reading
    )
    access.declared(app)  # raises where a route does not say what it needs
    return app
