"""Who may do what: each route says what it needs, and each request is held to that before anything of it is read."""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Litestar
from litestar.types import Scope as Connection

from offload_api.problems import Problem
from offload_shared.keys import DEFAULT_TENANT, Scope

NEEDS = "needs"


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who sends a request: on whose behalf, by which key or token, and what that allows.

    Where nobody is asked who they are, there is neither a key nor a subject.
    """

    tenant: str = DEFAULT_TENANT
    key_id: str | None = None
    subject: str | None = None  # whom the issuer of a token has named in it
    scopes: frozenset[Scope] = frozenset(Scope)
    scope_prefix: str = ""  # what the issuer of a token writes before a scope

    @property
    def credential(self) -> str:
        """What the caller has shown, in a word."""
        return "key" if self.subject is None else "token"

    @property
    def operator(self) -> bool:
        """Whether this is an administrator of the whole installation: one of the default tenant."""
        return self.tenant == DEFAULT_TENANT and Scope.ADMIN in self.scopes

    @property
    def administered(self) -> str | None:
        """The tenant whose keys and trail an administrator reaches; None: every tenant's."""
        return None if self.operator else self.tenant


class Need(msgspec.Struct, frozen=True):
    """What a route asks of its caller: a scope; and with `operator`, to be of the default tenant as well."""

    scope: Scope
    operator: bool = False


#: Finds out who sends a request, from its Authorization headers; raises `Problem` 401, and `StoreUnavailable` or
#: `IssuerUnavailable` when that cannot be found out now.
Identify = Callable[[list[bytes]], Awaitable[Caller]]

#: A route that asks for no key: `opt=OPEN`.
OPEN: Mapping[str, Any] = {NEEDS: None}
#: What is asked of whoever comes to a route that says nothing.
STRICTEST = Need(Scope.ADMIN, operator=True)


def needs(scope: Scope, *, operator: bool = False) -> Mapping[str, Any]:
    """Return what a route says to ask for a scope: `opt=needs(Scope.READ)`."""
    return {NEEDS: Need(scope, operator)}


def declared(app: Litestar) -> dict[tuple[str, str], Need | None]:
    """Return what each route needs, by its path and its method in lower case; raises `LookupError` for one unsaid."""
    found = {}
    for route in app.routes:
        for handler in getattr(route, "route_handlers", None) or [route.route_handler]:  # type: ignore[union-attr]
            for method in getattr(handler, "http_methods", {"GET"}) - {"OPTIONS"}:
                if NEEDS not in handler.opt:
                    raise LookupError(f"{method} {route.path_format} does not say what it needs")
                found[route.path_format, method.lower()] = handler.opt[NEEDS]
    return found


async def anybody(_: list[bytes]) -> Caller:
    """Identify everybody as one who may do all, where no keys are asked for."""
    return _ANYBODY


_ANYBODY = Caller()


def authorization(connection: Connection) -> list[bytes]:
    """Return a request's Authorization headers, of which there should be one."""
    return [value for name, value in connection["headers"] if name == b"authorization"]


def require(need: Need, caller: Caller) -> None:
    """Raise `Problem` 403 for a caller who has not what is needed."""
    scope = f"{caller.scope_prefix}{need.scope}"
    if need.scope not in caller.scopes:
        raise forbidden(f"This needs a {caller.credential} with the scope `{scope}`.", caller, scope=need.scope)
    if need.operator and not caller.operator:
        detail = f"This needs a {caller.credential} of the default tenant with the scope `{scope}`."
        raise forbidden(detail, caller, scope=need.scope)


def forbidden(detail: str, caller: Caller, *, scope: Scope) -> Problem:
    """Return the answer to a caller who may not do this, and to whom the scope would have to be granted."""
    challenge = f'Bearer error="insufficient_scope", scope="{caller.scope_prefix}{scope}"'
    title = f"This {caller.credential} does not allow it"
    return Problem(HTTPStatus.FORBIDDEN, "forbidden", title, detail, headers={"WWW-Authenticate": challenge})
