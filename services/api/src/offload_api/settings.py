"""The API's settings: what both services share, and what is the HTTP service's own."""

from typing import Annotated, Literal

from msgspec import Meta

from offload_api.fetching import is_trustworthy
from offload_shared.errors import SettingsInvalid
from offload_shared.settings import PREFIX, Seconds, SharedSettings, without_password

LongSeconds = Annotated[float, Meta(gt=0, le=10 * 366 * 86_400)]
Bytes = Annotated[int, Meta(ge=1)]
#: Of a claim, a scope or its prefix: what may stand in a challenge between quotation marks (RFC 6750).
Word = Annotated[str, Meta(pattern=r"^[!#-\[\]-~]{0,255}$")]

#: Says that tokens name no tenant: all of them are the default tenant's.
NO_CLAIM = "none"


class ApiSettings(SharedSettings, frozen=True, kw_only=True):
    """Read from the environment: `OFFLOAD_PORT` and so on."""

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535)] = 8000  # 0: any that is free
    #: Who is served: whoever is on this machine; whoever has a key; anybody; whoever has a token; or either of both.
    auth: Literal["loopback", "keys", "open", "jwt", "keys+jwt"] = "loopback"
    jwt_issuer: str = ""  # as tokens name it, and as OpenID Connect Discovery finds it
    jwt_audience: str = ""  # what tokens for this service name
    jwt_scope_claim: Word = "scope"
    jwt_scope_prefix: Word = ""  # of a token's scopes those that begin so are ours
    jwt_tenant_claim: Word = "tenant"
    max_body_bytes: Bytes = 1024 * 1024  # of a submitted job
    max_batch_bytes: Bytes = 4 * 1024 * 1024  # of many submitted together
    max_held_bytes: Bytes = 64 * 1024 * 1024  # of all large bodies that one API process holds in memory
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
    max_webhooks: Annotated[int, Meta(ge=0)] = 20  # of one tenant
    webhook_timeout_seconds: Seconds = 15.0  # for one attempt to deliver
    webhook_attempts: Annotated[int, Meta(ge=1, le=100)] = 12  # after which a delivery is given up
    webhook_retry_seconds: Seconds = 5.0  # before the second attempt; four times as long before each further one
    webhook_log_days: Annotated[float, Meta(gt=0, le=36_600)] = 30.0  # for which deliveries are kept once they ended
    store_threads: Annotated[int, Meta(ge=1, le=64)] = 8  # and connections
    store_answer_seconds: Seconds = 2.5  # past it a request is answered 503
    shutdown_seconds: Annotated[int, Meta(ge=1, le=3600)] = 10  # for requests in flight to be answered

    def __post_init__(self) -> None:
        """Refuse tokens without an issuer who is known for sure."""
        super().__post_init__()
        if not self.takes_tokens:
            return
        for name in ("jwt_issuer", "jwt_audience"):
            if not getattr(self, name):
                raise SettingsInvalid(f"OFFLOAD_AUTH is {self.auth!r}: set {PREFIX}{name.upper()} as well")
        if not is_trustworthy(self.jwt_issuer) or any(sign in self.jwt_issuer for sign in "?#@ "):
            shown = without_password(self.jwt_issuer)
            expected = "expected an https URL without a query, or an http one of this machine"
            raise SettingsInvalid(f"{PREFIX}JWT_ISSUER is {shown!r}: {expected}")

    @property
    def takes_keys(self) -> bool:
        """Whether a key lets in."""
        return self.auth in ("keys", "keys+jwt")

    @property
    def takes_tokens(self) -> bool:
        """Whether a token lets in."""
        return self.auth in ("jwt", "keys+jwt")

    @property
    def asks(self) -> bool:
        """Whether nobody is served without saying who they are."""
        return self.takes_keys or self.takes_tokens
