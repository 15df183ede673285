"""Fetches small documents of the issuer of tokens over HTTP, and says which addresses they may come from."""

import time
from http.client import HTTPException
from ipaddress import ip_address
from typing import Any
from urllib.error import HTTPError
from urllib.parse import SplitResult, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from offload_shared.errors import IssuerUnavailable

LARGEST_BYTES = 512 * 1024
#: For each step: to connect, to send, to read some.
STEP_SECONDS = 5.0
#: For all of it.
WHOLE_SECONDS = 10.0

_CHUNK_BYTES = 64 * 1024


class _NoRedirects(HTTPRedirectHandler):
    # Where the keys are is said by whoever is trusted, not by where its address leads.
    def redirect_request(self, *_: Any) -> None:
        return None


def configuration_url(issuer: str) -> str:
    """Return where an issuer describes itself, as OpenID Connect Discovery has it."""
    return f"{issuer.removesuffix('/')}/.well-known/openid-configuration"


def is_trustworthy(url: str) -> bool:
    """Whether what this address answers is its owner's word: over TLS, or from this machine itself."""
    try:
        apart = urlsplit(url)
        named = bool(apart.hostname) and apart.port != 0  # which also raises for a port that is no number
        return named and (apart.scheme == "https" or (apart.scheme == "http" and _is_here(apart)))
    except ValueError:
        return False


def _is_here(apart: SplitResult) -> bool:
    if apart.hostname == "localhost":
        return True
    try:
        return ip_address(apart.hostname or "").is_loopback
    except ValueError:
        return False


def fetch(url: str) -> bytes:
    """Return what is at a trustworthy address; blocks for up to some seconds. Raises `IssuerUnavailable`.

    A proxy that the environment names (`HTTPS_PROXY`, `NO_PROXY`) is used, and the certificates of the system.
    """
    if not is_trustworthy(url):
        raise IssuerUnavailable(f"{url} is neither https nor on this machine")
    ends = time.monotonic() + WHOLE_SECONDS
    request = Request(url, headers={"Accept": "application/json"})  # noqa: S310 - seen to be http or https
    try:
        with build_opener(_NoRedirects).open(request, timeout=STEP_SECONDS) as answer:
            body = b""
            while chunk := answer.read1(_CHUNK_BYTES):
                body += chunk
                if len(body) > LARGEST_BYTES:
                    raise IssuerUnavailable(f"{url} answered more than {LARGEST_BYTES} bytes")
                if time.monotonic() > ends:
                    raise IssuerUnavailable(f"{url} took longer than {WHOLE_SECONDS:g} s")
            return bytes(body)
    except HTTPError as error:
        error.close()
        raise IssuerUnavailable(f"{url} answered {error.code}") from None
    except (OSError, HTTPException, ValueError) as error:
        raise IssuerUnavailable(f"{url} could not be fetched: {error}") from None
