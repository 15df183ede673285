"""OPTIONS: which methods an address takes."""

from http import HTTPStatus

from litestar import Response, route
from litestar.handlers import HTTPRouteHandler

from offload_api.bodies import AnyRequest


def with_options(*handlers: HTTPRouteHandler) -> list[HTTPRouteHandler]:
    """Return the handlers with one for OPTIONS before them; for a router in which several share a path.

    Litestar's own answer to OPTIONS knows the first handler of a path alone.
    """
    paths = {path for handler in handlers for path in handler.paths}

    @route(sorted(paths), http_method=["OPTIONS"], status_code=HTTPStatus.NO_CONTENT)
    async def options(request: AnyRequest) -> Response[None]:
        here = request.scope["path_template"]
        taken = {method for each in request.app.routes if each.path_format == here for method in each.methods}
        return Response(None, status_code=HTTPStatus.NO_CONTENT, headers={"Allow": ", ".join(sorted(taken))})

    return [options, *handlers]
