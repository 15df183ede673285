"""What every request passes before its route: who sends it, how many more they may, and whether they may this."""

from collections.abc import Mapping
from typing import cast

import msgspec
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from offload_api.access import NEEDS, STRICTEST, Caller, Identify, Need, authorization, require
from offload_api.problems import Problem
from offload_api.rates import RateLimiter
from offload_api.trail import Trail


class Admission(msgspec.Struct, frozen=True, kw_only=True):
    """Lets through what its caller may do; the routes find the caller as `request.auth`."""

    identify: Identify
    limiter: RateLimiter | None  # None: any number of requests
    trail: Trail | None  # None: nothing is recorded

    def around(self, app: ASGIApp) -> ASGIApp:
        """Return the middleware in front of a route."""

        async def admitted(connection: Scope, receive: Receive, send: Send) -> None:
            need: Need | None = connection["route_handler"].opt.get(NEEDS, STRICTEST)
            if need is not None and connection.get("method") != "OPTIONS":
                caller = await self.identify(authorization(connection))
                connection["auth"] = caller
                send = await self._checked(cast("HTTPScope", connection), need, caller, send)
            await app(connection, receive, send)

        return admitted

    async def _checked(self, connection: HTTPScope, need: Need, caller: Caller, send: Send) -> Send:
        if self.trail is not None:
            send = self.trail.watched(connection, caller, send)
        told: Mapping[str, str] = {}
        try:
            if self.limiter is not None:
                told = await self.limiter.spend(caller.tenant)
            require(need, caller)
        except Problem as problem:  # answered further out, where nobody watches
            problem.headers.update(told)
            if self.trail is not None:
                self.trail.note(connection, caller, problem.details.status)
            raise
        return with_headers(send, told) if told else send


def with_headers(send: Send, headers: Mapping[str, str]) -> Send:
    """Return a `send` that adds headers to the answer."""
    added = [(name.lower().encode(), value.encode()) for name, value in headers.items()]

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *added]
        await send(message)

    return sending
