"""What an operator sees and does: the queues and the workers of all tenants, and what is counted of them."""

from litestar import Router

from offload_api.routes import metrics, queues, workers

router = Router("/", route_handlers=[Router("/v1", route_handlers=[queues.router, workers.router]), metrics.router])
