"""A page for people that shows the OpenAPI document, made of nothing that comes from elsewhere."""

from pathlib import Path

from litestar import Response, Router, route
from litestar.params import FromPath

from offload_api.access import OPEN
from offload_api.bodies import AnyRequest
from offload_api.caching import cacheable
from offload_api.problems import not_found

FOLDER = Path(__file__).parent.parent / "reference"
HTML = "text/html"
MEDIA_TYPES = {"reference.js": "text/javascript", "reference.css": "text/css"}
#: Nothing of another host, nothing written into the page itself, and nobody's frame.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


@route("/", http_method=["GET", "HEAD"], opt=OPEN)
async def page(request: AnyRequest) -> Response[bytes | None]:
    """Answer with the page."""
    return _file(request, "index.html", HTML)


@route("/{name:str}", http_method=["GET", "HEAD"], opt=OPEN)
async def part(request: AnyRequest, name: FromPath[str]) -> Response[bytes | None]:
    """Answer with a part of the page."""
    if name not in MEDIA_TYPES:
        raise not_found("part of the page")
    return _file(request, name, MEDIA_TYPES[name])


def _file(request: AnyRequest, name: str, media_type: str) -> Response[bytes | None]:
    response = cacheable(request, _CONTENT[name], media_type)
    response.headers.update(HEADERS)
    return response


_CONTENT = {name: (FOLDER / name).read_bytes() for name in ("index.html", *MEDIA_TYPES)}

router = Router("/docs", route_handlers=[page, part])
