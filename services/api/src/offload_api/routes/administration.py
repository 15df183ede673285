"""What an operator sees and does; a guard of this one router is a guard of all of it."""

from litestar import Router

from offload_api.routes import metrics, queues, workers

router = Router("/", route_handlers=[Router("/v1", route_handlers=[queues.router, workers.router]), metrics.router])
