"""Measures each request around the whole application, so that no answer goes uncounted."""

import time

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from offload_api.metrics import ApiMetrics


def metered(app: ASGIApp, metrics: ApiMetrics) -> ASGIApp:
    """Return the application, counting its answers and the seconds until each began."""

    async def meter(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await app(scope, receive, send)
            return
        began, method = time.perf_counter(), scope["method"]

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = scope.get("path_template", "")  # there once Litestar has found one
                metrics.answered(method, route, message["status"], time.perf_counter() - began)
            await send(message)

        await app(scope, receive, noting)

    return meter
