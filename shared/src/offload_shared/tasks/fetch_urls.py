"""`fetch-urls`: many web pages, politely."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from offload_shared.errors import AddressRefused
from offload_shared.outbound import LONGEST_URL, parsed
from offload_shared.tasks.task import Payload, Result, RunsIn, Task

MOST_URLS = 5000
MOST_ROWS_INLINE = 500
MB = 1024 * 1024

Url = Annotated[str, Meta(min_length=1, max_length=LONGEST_URL, pattern="^https?://[!-~]+$")]
HeaderName = Annotated[str, Meta(pattern="^[A-Za-z0-9-]{1,64}$")]
HeaderValue = Annotated[str, Meta(pattern="^[ -~]*$", max_length=2000)]

#: These say how a request is sent, and are not the client's to set.
OWN_HEADERS = frozenset(
    {
        *("host", "connection", "content-length", "transfer-encoding", "te", "trailer", "upgrade", "keep-alive"),
        *("proxy-authorization", "proxy-connection", "expect", "accept-encoding", "user-agent"),
    }
)


class FetchUrls(Payload, frozen=True, kw_only=True):
    """What to fetch, and how."""

    urls: Annotated[tuple[Url, ...], Meta(min_length=1, max_length=MOST_URLS)]
    method: Literal["GET", "HEAD"] = "GET"
    headers: Annotated[dict[HeaderName, HeaderValue], Meta(max_length=20)] = msgspec.field(default_factory=dict)
    user_agent: Annotated[HeaderValue, Meta(min_length=1)] = "Offload"
    keep_bodies: Annotated[bool, Meta(description="Leave what was fetched behind, in `bodies.zip`.")] = True
    concurrency: Annotated[int, Meta(ge=1, le=100, description="Requests at once.")] = 20
    concurrency_per_host: Annotated[int, Meta(ge=1, le=20)] = 2
    delay_seconds: Annotated[float, Meta(ge=0, le=60, description="Between two requests to one host.")] = 0.0
    respect_robots: Annotated[bool, Meta(description="Leave out what robots.txt asks to be left out.")] = False
    url_timeout_seconds: Annotated[float, Meta(ge=0.1, le=300, description="Of one try, redirects included.")] = 30.0
    redirects: Annotated[int, Meta(ge=0, le=10)] = 5
    retries: Annotated[int, Meta(ge=0, le=5, description="After a lost connection, and after 429 and 5xx.")] = 2
    max_body_bytes: Annotated[int, Meta(ge=1, le=100 * MB)] = 10 * MB
    max_total_bytes: Annotated[int, Meta(ge=1, le=2048 * MB, description="Of all bodies.")] = 500 * MB

    def __post_init__(self) -> None:
        """Refuse what is no URL, and headers that are ours."""
        for place, url in enumerate(self.urls):
            try:
                parsed(url)
            except AddressRefused as error:
                raise ValueError(f"`urls`: number {place} {error}") from None
        for name in self.headers:
            if name.lower() in OWN_HEADERS:
                raise ValueError(f"`headers`: {name} cannot be set")


class FetchedRow(Result, frozen=True, kw_only=True):
    """What came of one URL."""

    url: str
    final_url: str | None = None  # after redirects
    status: int | None = None  # null when there was no answer
    error: str | None = None  # why there is no answer, or not all of it
    media_type: str | None = None
    content_encoding: str | None = None  # in which the body is kept, as it came
    size: int = 0  # of the body, in bytes
    sha256: str | None = None
    body: str | None = None  # its name in `bodies.zip`
    attempts: int = 0
    seconds: float = 0.0  # of the last attempt


class FetchUrlsResult(Result, frozen=True, kw_only=True):
    """What came of all; each row is a line of the artifact `results.jsonl`."""

    fetched: int  # with a status below 400
    refused: int  # with another status
    failed: int  # without one
    statuses: dict[str, int]
    bytes: int
    rows: tuple[FetchedRow, ...] | None  # in the order of `urls`; null when there are more than 500
    artifact: str
    bodies: str | None  # the artifact that holds them
    duration_seconds: float


FETCH_URLS = Task(
    name="fetch-urls",
    summary="Fetches up to thousands of URLs, so many at once from each host, with retries and limits.",
    payload=FetchUrls,
    result=FetchUrlsResult,
    queue="io",
    runs_in=RunsIn.EVENT_LOOP,
    timeout_seconds=3600,
    max_attempts=3,
)
