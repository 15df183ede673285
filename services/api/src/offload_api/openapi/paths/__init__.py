"""What OpenAPI says of each address; the tests hold it to the routes there are."""

from typing import Any

from offload_api.openapi.paths import access, administration, files, flows, jobs, schedules, service, webhooks

PATHS: dict[str, dict[str, Any]] = {
    **jobs.PATHS,
    **flows.PATHS,
    **schedules.PATHS,
    **webhooks.PATHS,
    **files.PATHS,
    **access.PATHS,
    **administration.PATHS,
    **service.PATHS,
}
