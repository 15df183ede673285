"""The API's settings: what both services share, and what is the HTTP service's own."""

from typing import Annotated, Literal

from msgspec import Meta

from offload_shared.settings import Seconds, SharedSettings

LongSeconds = Annotated[float, Meta(gt=0, le=10 * 366 * 86_400)]
Bytes = Annotated[int, Meta(ge=1)]


class ApiSettings(SharedSettings, frozen=True, kw_only=True):
    """Read from the environment: `OFFLOAD_PORT` and so on."""

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535)] = 8000  # 0: any that is free
    #: Who is served: whoever is on this machine; whoever has a key; anybody.
    auth: Literal["loopback", "keys", "open"] = "loopback"
    max_body_bytes: Bytes = 1024 * 1024  # of a submitted job
    max_batch_bytes: Bytes = 4 * 1024 * 1024  # of many submitted together
    max_upload_bytes: Bytes = 1024 * 1024 * 1024  # of an uploaded file
    max_timeout_seconds: LongSeconds = 7 * 86_400.0  # the most a client may ask for
    max_memory_limit_mb: Annotated[int, Meta(ge=1)] = 16_384
    max_cpu_limit_seconds: LongSeconds = 7 * 86_400.0
    max_attempts_limit: Annotated[int, Meta(ge=1)] = 20
    max_queued: Annotated[int, Meta(ge=0)] = 0  # jobs of one tenant at once, scheduled ones too; 0: any number
    max_requests_per_minute: Annotated[int, Meta(ge=0)] = 0  # of one tenant, at all API processes together; 0: likewise
    audit_days: Annotated[float, Meta(gt=0, le=36_600)] = 90.0  # for which the audit trail is kept
    max_connections: Annotated[int, Meta(ge=1)] = 4000  # at once, to one API process
    max_connections_per_client: Annotated[int, Meta(ge=1)] = 2000  # from one address
    max_streams: Annotated[int, Meta(ge=0)] = 2000  # of events, at once, from one API process
    max_streams_per_client: Annotated[int, Meta(ge=0)] = 1000  # to one address
    max_schedules: Annotated[int, Meta(ge=0)] = 1000
    store_threads: Annotated[int, Meta(ge=1, le=64)] = 8  # and connections
    store_answer_seconds: Seconds = 2.5  # past it a request is answered 503
    shutdown_seconds: Annotated[int, Meta(ge=1, le=3600)] = 10  # for requests in flight to be answered
