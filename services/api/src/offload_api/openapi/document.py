"""The OpenAPI 3.1 document of this API, with every task it knows."""

from collections.abc import Mapping
from typing import Any

from offload_api.access import Need
from offload_api.openapi.components import schemas
from offload_api.openapi.links import linked
from offload_api.openapi.parameters import TEXT
from offload_api.openapi.paths import PATHS
from offload_api.openapi.paths.webhooks import WEBHOOKS
from offload_api.openapi.responses import HEADERS
from offload_api.openapi.security import schemes, secured
from offload_api.services import Services

VERSION = "1.0.0"  # of the HTTP contract
DESCRIPTION = """\
Takes heavy work off a web request. Submit a typed job, follow it, fetch its result.

Beside the errors that each operation names, a connection is answered 400, 408, 429 or 431 and closed where no request
comes out of it, a method that an address does not take is answered 405, and a mistake of the service 500: all of them
as problem details.
"""
TAGS = {
    "jobs": "Submit work and follow it.",
    "flows": "Submit work that builds on other work.",
    "schedules": "Submit work again and again.",
    "webhooks": "Be told when jobs end, and see what became of it.",
    "files": "What jobs read and leave behind.",
    "tasks": "What can be submitted.",
    "keys": "Who may do what, and who did.",
    "administration": "For whoever runs the service: queues, workers, metrics.",
    "health": "Whether the service is there, and can do its work.",
}


def document(services: Services, needed: Mapping[tuple[str, str], Need | None]) -> dict[str, Any]:
    """Return the document; `needed` is what the routes ask of their callers, as `access.declared` returns it."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "Offload", "version": VERSION, "description": DESCRIPTION, "license": {"name": "MIT"}},
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": description} for name, description in TAGS.items()],
        "paths": secured(linked(PATHS), needed, services.settings),
        "webhooks": WEBHOOKS,
        "components": {
            "securitySchemes": schemes(services.settings),
            "schemas": schemas(services.submissions, services.schedules, services.flows, services.tasks),
            "headers": {name: {"description": text, "schema": TEXT} for name, text in HEADERS.items()},
        },
    }
