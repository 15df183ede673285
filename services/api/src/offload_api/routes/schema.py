"""The OpenAPI document, and the way to it."""

import msgspec
from litestar import Response, Router, route
from litestar.di import NamedDependency

from offload_api.access import OPEN, declared
from offload_api.bodies import AnyRequest
from offload_api.caching import cacheable
from offload_api.openapi.document import document
from offload_api.services import Services

MEDIA_TYPE = "application/vnd.oai.openapi+json;version=3.1"


class Index(msgspec.Struct, frozen=True, kw_only=True):
    """Where everything else is found."""

    name: str = "Offload"
    openapi: str = "/schema/openapi.json"
    docs: str = "/docs"
    tasks: str = "/v1/tasks"
    health: str = "/health/ready"


@route("/", http_method=["GET", "HEAD"], opt=OPEN)
async def index(request: AnyRequest) -> Response[bytes | None]:
    """Answer with where to look."""
    return cacheable(request, msgspec.json.encode(Index()))


@route("/schema/openapi.json", http_method=["GET", "HEAD"], opt=OPEN)
async def openapi(request: AnyRequest, services: NamedDependency[Services]) -> Response[bytes | None]:
    """Answer with the document."""
    return cacheable(request, msgspec.json.encode(document(services, declared(request.app))), MEDIA_TYPE)


router = Router("/", route_handlers=[index, openapi])
