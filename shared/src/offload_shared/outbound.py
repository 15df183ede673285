"""HTTP to servers that somebody else has named: never to the operator's own network, unless the operator allows it.

A name is resolved once, every address that it stands for is looked at, and the connection is made to one of those very
addresses: a second look-up, by which a name could turn inside meanwhile, there is not. TLS and the Host header keep to
the name. No redirect is followed, and no proxy of the environment is asked.
"""

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import httpcore2
import msgspec

from offload_shared.errors import AddressRefused, RequestFailed

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

LONGEST_URL = 2000
LONGEST_HOST = 253
#: Of a name that has many addresses, each given so long to accept a connection.
MOST_TRIED = 3
CONNECT_SECONDS = 5.0
#: More than there are ever requests under way: a look-up cannot be broken off, and one that nobody waits for any longer
#: has its thread until the system's resolver gives up.
MOST_LOOKUPS = 256

#: What is not the public internet, by the registries of special-purpose addresses (RFC 6890 and what came after it).
#: Written out: what Python takes for global differs from release to release, and has multicast among it.
NOT_PUBLIC = tuple(
    map(
        ip_network,
        (
            *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
            *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15"),
            *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
            # Within what is global: Teredo and its like, documentation, and 6to4, which has an IPv4 address in it.
            *("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),
        ),
    )
)
#: All of IPv6 that is global; the rest, NAT64 with IPv4 addresses in it as well, is refused.
GLOBAL_IPV6 = IPv6Network("2000::/3")

_PRINTABLE = re.compile(r"[\x21-\x7e]+")
_NAME = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")
#: What ends so is an address to resolvers, such as 127.1 or 0x7f000001, and to none of ours.
_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")
_PORTS = {"http": 80, "https": 443}

#: Returns the addresses that a name stands for; raises `RequestFailed`.
Resolve = Callable[[str, int], Awaitable[Sequence[Address]]]


class Destination(msgspec.Struct, frozen=True):
    """A URL taken apart, once, so that whoever checks it and whoever follows it read the same."""

    scheme: str
    host: str  # a name, or an address without brackets
    port: int
    target: str  # path and query

    @property
    def authority(self) -> str:
        """What the Host header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


def networks(text: str) -> tuple[Network, ...]:
    """Return networks that are written in CIDR notation and joined by commas; raises `ValueError`."""
    return tuple(ip_network(each.strip()) for each in text.split(",") if each.strip())


def parsed(url: str) -> Destination:
    """Return where a URL leads; raises `AddressRefused` for what is no plain address of a web server."""
    if len(url) > LONGEST_URL or not _PRINTABLE.fullmatch(url) or "\\" in url:
        raise AddressRefused(f"is no URL of at most {LONGEST_URL} printable ASCII characters")
    try:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme, (parts.hostname or "").removesuffix("."), parts.port
    except ValueError:
        raise AddressRefused("is no URL") from None
    if scheme not in _PORTS:
        raise AddressRefused("is no URL that starts with https://")
    if "@" in parts.netloc:
        raise AddressRefused("has a user's name or a password in it")
    if port == 0 or parts.netloc.endswith(":"):
        raise AddressRefused("names no port that there is")
    path = parts.path or "/"
    return Destination(scheme, _host(host), port or _PORTS[scheme], f"{path}?{parts.query}" if parts.query else path)


def _host(host: str) -> str:
    if (literal := _literal(host)) is not None:
        return str(literal)
    if len(host) > LONGEST_HOST or not _NAME.fullmatch(host) or _NUMBER.fullmatch(host):
        raise AddressRefused("names no host")
    return host


def _literal(host: str) -> Address | None:
    try:
        address = ip_address(host)
    except ValueError:
        return None
    if getattr(address, "scope_id", None) is not None:
        raise AddressRefused("names an interface of this machine")
    return unmapped(address)


def unmapped(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 one stands for, as ::ffff:127.0.0.1 does; any other as it is."""
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address


def is_public(address: Address) -> bool:
    """Say whether an address is one of the public internet."""
    if isinstance(address, IPv6Address) and address not in GLOBAL_IPV6:
        return False
    return not any(address in network for network in NOT_PUBLIC)


class Guard:
    """Knows where a request may go: to what is public, and to the networks that the operator allows besides.

    What is not encrypted goes to these networks alone, unless `plain` lets it go anywhere.
    """

    def __init__(self, allowed: Iterable[Network] = (), *, plain: bool = False) -> None:
        self._allowed = tuple(allowed)
        self._plain = plain

    def require_url(self, url: str) -> Destination:
        """Return where a URL leads; raises `AddressRefused` where that can be told to be refused without a look-up."""
        destination = parsed(url)
        encrypted = destination.scheme == "https"
        if not (encrypted or self._plain or self._allowed):
            raise AddressRefused("does not start with https://")
        if (literal := _literal(destination.host)) is not None:
            self.require(literal, encrypted=encrypted)
        return destination

    def require(self, address: Address, *, encrypted: bool) -> None:
        """Raise `AddressRefused` unless a request may go to this address, which is none that is mapped."""
        if any(address in network for network in self._allowed):
            return
        if not is_public(address):
            raise AddressRefused("leads to an address that is not public")
        if not (encrypted or self._plain):
            raise AddressRefused("leads to a public address, and does not start with https://")


class Lookups:
    """Looks names up by the system's resolver, a bounded number at once; the others wait for their turn.

    Each is on a thread of its own: on those that the rest of the process shares, a name server that says nothing would
    hold up everything else.
    """

    def __init__(self, most: int = MOST_LOOKUPS) -> None:
        self._turns = asyncio.Semaphore(most)

    async def find(self, host: str, port: int) -> list[Address]:
        """Return the addresses that a name stands for; raises `RequestFailed`.

        It may take any time: whoever asks waits for no longer than it wants to.
        """
        await self._turns.acquire()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[Address]] = loop.create_future()

        def note(addresses: list[Address]) -> None:
            self._turns.release()
            if not answer.done():
                answer.set_result(addresses)

        def ask() -> None:
            addresses = _addresses(host, port)
            with suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(note, addresses)

        try:
            Thread(target=ask, name="look-up", daemon=True).start()
        except RuntimeError:  # this machine has no more of them
            self._turns.release()
            raise RequestFailed("the host's name cannot be looked up now") from None
        addresses = await answer
        if not addresses:
            raise RequestFailed("the host's name does not resolve")
        return addresses


def _addresses(host: str, port: int) -> list[Address]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(ip_address(str(each[4][0])) for each in found))
    except (OSError, ValueError):  # the latter of a name that cannot be one
        return []


class CheckedBackend(httpcore2.AsyncNetworkBackend):
    """Connects to addresses that were checked, and to nothing else."""

    def __init__(
        self, guard: Guard, *, encrypted: bool, resolve: Resolve, dialled: httpcore2.AsyncNetworkBackend
    ) -> None:
        self._guard = guard
        self._encrypted = encrypted
        self._resolve = resolve
        self._dialled = dialled

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002, ASYNC109 - the library's own signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to an address of a host; raises `AddressRefused` when any of its addresses is not to be gone to."""
        literal = _literal(host)
        found = [literal] if literal is not None else await self._resolve(host, port)
        addresses = [unmapped(each) for each in found]
        for address in addresses:
            self._guard.require(address, encrypted=self._encrypted)
        failure: Exception = httpcore2.ConnectError("there is no address")
        for address in addresses[:MOST_TRIED]:
            try:
                return await self._dialled.connect_tcp(
                    str(address), port, CONNECT_SECONDS, local_address, socket_options
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure

    async def connect_unix_socket(self, *_: Any, **__: Any) -> httpcore2.AsyncNetworkStream:
        """Refuse: no URL leads to one."""
        raise AddressRefused("leads to no web server")

    async def sleep(self, seconds: float) -> None:
        """Wait between two tries of the library's own, of which there are none."""
        await asyncio.sleep(seconds)


class Outbound:
    """Sends requests within what `guard` allows. Each has a connection of its own, and so a look of its own."""

    def __init__(
        self,
        guard: Guard,
        *,
        resolve: Resolve | None = None,
        dialled: httpcore2.AsyncNetworkBackend | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        context = ssl_context or httpcore2.default_ssl_context()
        dialled = dialled or httpcore2.AnyIOBackend()
        resolve = resolve or Lookups().find
        self._guard = guard
        self._pools = {
            scheme: httpcore2.AsyncConnectionPool(
                ssl_context=context,
                max_connections=None,
                max_keepalive_connections=0,
                network_backend=CheckedBackend(guard, encrypted=scheme == "https", resolve=resolve, dialled=dialled),
            )
            for scheme in _PORTS
        }

    async def post(self, url: str, *, headers: Mapping[str, str], content: bytes, seconds: float) -> int:
        """Send a POST and return the status of its answer, of which nothing else is read.

        `seconds` is for all of it. Raises `AddressRefused`, and `RequestFailed` when there is no answer.
        """
        async with self.stream("POST", url, headers=headers, content=content, seconds=seconds) as response:
            return response.status

    @asynccontextmanager
    async def stream(
        self, method: str, url: str, *, headers: Mapping[str, str], content: bytes | None = None, seconds: float
    ) -> AsyncIterator[httpcore2.Response]:
        """Send a request, and give its answer while its body comes; the connection ends with the block.

        `seconds` is for all that is done in the block. Raises `AddressRefused`, and `RequestFailed` when there is no
        answer, or not all of it, also from within.
        """
        destination = self._guard.require_url(url)
        where = httpcore2.URL(
            scheme=destination.scheme, host=destination.host, port=destination.port, target=destination.target
        )
        told = [("Host", destination.authority), *headers.items()]
        try:
            async with (
                asyncio.timeout(seconds),
                self._pools[destination.scheme].stream(method, where, headers=told, content=content) as response,
            ):
                yield response
        except TimeoutError:
            raise RequestFailed(f"no answer within {seconds:.3g} s") from None
        except (httpcore2.NetworkError, httpcore2.TimeoutException, httpcore2.ProtocolError) as error:
            raise RequestFailed(_told(error)) from error

    async def close(self) -> None:
        """Close every connection."""
        for pool in self._pools.values():
            await pool.aclose()


def _told(error: Exception) -> str:
    return f"no connection, or none that lasted: {error}" if str(error) else "the connection was lost"
