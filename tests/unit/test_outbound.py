"""Where a client's URL may lead: by a resolver and a network of the tests' own, which nothing leaves."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from typing import Any

import httpcore2
import pytest

from offload_shared import outbound
from offload_shared.errors import AddressRefused, RequestFailed
from offload_shared.outbound import Address, Guard, Lookups, Outbound, is_public, networks, parsed, unmapped

PUBLIC = "93.184.216.34"
LOOPBACK = networks("127.0.0.0/8, ::1/128")
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Stream(httpcore2.AsyncNetworkStream):
    """A connection to a server that has its answer ready."""

    def __init__(self, answer: Iterable[bytes], network: "Network") -> None:
        self._answer = iter(answer)
        self._network = network

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        self._network.reads += 1
        return next(self._answer, b"")

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        self._network.written += buffer

    async def aclose(self) -> None:
        self._network.closed += 1

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore2.AsyncNetworkStream:
        self._network.tls_names.append(server_hostname)
        return self


class Network(httpcore2.AsyncNetworkBackend):
    """A network that notes who is called; a server that is `down` takes no connection."""

    def __init__(self, *answer: bytes, down: Iterable[str] = ()) -> None:
        self._answer = answer or (ANSWER,)
        self._down = set(down)
        self.dialled = list[tuple[str, int]]()
        self.tls_names = list[str | None]()
        self.written = b""
        self.reads = self.closed = 0

    async def connect_tcp(self, host: str, port: int, *_: Any, **__: Any) -> httpcore2.AsyncNetworkStream:
        self.dialled.append((host, port))
        if host in self._down:
            raise httpcore2.ConnectError("refused")
        return Stream(self._answer, self)


class Names:
    """A resolver that gives its answers one after the other, and the last one again and again."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = [[ip_address(each) for each in answer] for answer in answers]
        self.asked = list[str]()

    async def find(self, host: str, port: int) -> list[Address]:
        self.asked.append(host)
        return self._answers[min(len(self.asked), len(self._answers)) - 1]


def post(url: str, network: Network, names: Names | None = None, allowed: str = "", seconds: float = 30) -> int:
    async def run() -> int:
        sender = Outbound(Guard(networks(allowed)), resolve=(names or Names([PUBLIC])).find, dialled=network)
        return await sender.post(url, headers={"X-Told": "yes"}, content=b"{}", seconds=seconds)

    return asyncio.run(run())


HOSTILE = [
    "",
    "x",
    "//host/",
    "file:///etc/passwd",
    "gopher://host/",
    "ftp://host/",
    "javascript:alert(1)",
    "https://",
    "https:///path",
    "https://:443/",
    "https://user@host/",
    "https://user:password@host/",
    "https://public.example@127.0.0.1/",
    "https://127.0.0.1#@public.example/",
    "https://127.0.0.1\\@public.example/",
    "https://public.example\\.internal/",
    "https://host:0/",
    "https://host:/",
    "https://host:65536/",
    "https://host:x/",
    "https://host:-1/",
    "https://ho st/",
    "https://host/\r\nX-Injected: yes",
    "https://host/\n",
    "\thttps://host/",
    " https://host/",
    "https://host/\x00",
    "https://h\u00f6st/",
    "https://\u2460\u2461\u2466.0.0.1/",
    "https://127\u30020\u30020\u30021/",
    "https://host/" + "x" * 2000,
    "https://" + "x" * 64 + ".example/",
    "https://" + "x." * 130 + "example/",
    "https://a..example/",
    "https://.example/",
    "https://a%2eexample/",
    "https://%31%32%37.0.0.1/",
    "https://[::1/",
    "https://::1/",
    "https://[public.example]/",
    "https://127.0.0.1/",
    "https://127.0.0.1./",
    "https://127.1/",
    "https://127.0.1/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0x7f.0.0.1/",
    "https://0177.0.0.1/",
    "https://017700000001/",
    "https://0/",
    "https://0x/",
    "https://evil.0/",
    "https://999.999.999.999/",
    "https://1.2.3.4.5/",
    "https://0.0.0.0/",
    "https://10.0.0.1/",
    "https://100.64.0.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://172.16.0.1/",
    "https://192.168.1.1/",
    "https://192.0.0.170/",
    "https://198.18.0.1/",
    "https://224.0.0.1/",
    "https://255.255.255.255/",
    "https://[::]/",
    "https://[::1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[::127.0.0.1]/",
    "https://[0:0:0:0:0:ffff:a9fe:a9fe]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[64:ff9b:1::a00:1]/",
    "https://[2002:7f00:1::]/",
    "https://[2001:0:7f00:1::]/",
    "https://[2001:db8::1]/",
    "https://[fe80::1]/",
    "https://[fe80::1%25eth0]/",
    "https://[fe80::1%eth0]/",
    "https://[fec0::1]/",
    "https://[fc00::1]/",
    "https://[fd00:ec2::254]/",
    "https://[ff02::1]/",
    "http://public.example/",
    "http://93.184.216.34/",
]


@pytest.mark.parametrize("url", HOSTILE)
def test_a_url_that_leads_inside_or_is_none_is_refused_without_a_look_up(url: str) -> None:
    network, names = Network(), Names([PUBLIC])

    with pytest.raises(AddressRefused):
        Guard().require_url(url)
    with pytest.raises(AddressRefused):
        post(url, network, names)

    assert ([], []) == (network.dialled, names.asked)


@pytest.mark.parametrize(
    ("url", "authority", "target"),
    [
        ("https://public.example", "public.example", "/"),
        ("HTTPS://Public.Example/a/b?c=d&e#f", "public.example", "/a/b?c=d&e"),
        ("https://public.example.:8443/%2e%2e/", "public.example:8443", "/%2e%2e/"),
        ("https://xn--hst-sna.example/", "xn--hst-sna.example", "/"),
        ("https://a_b.example/@me", "a_b.example", "/@me"),
        ("https://93.184.216.34:443/", "93.184.216.34", "/"),
        ("https://[2606:2800:220:1::1]/", "[2606:2800:220:1::1]", "/"),
        ("https://[::ffff:93.184.216.34]/", "93.184.216.34", "/"),
    ],
)
def test_a_url_of_a_public_server_is_taken_as_it_is(url: str, authority: str, target: str) -> None:
    found = Guard().require_url(url)

    assert (authority, target) == (found.authority, found.target)


INSIDE = (
    *("0.0.0.0", "10.1.2.3", "100.64.1.1", "127.0.0.1", "127.255.255.255", "169.254.169.254", "172.31.255.255"),
    *("192.0.0.1", "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.19.0.1", "198.51.100.1", "203.0.113.1"),
    *("224.0.0.251", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a00:1", "100::1", "2001::1"),
    *("2001:db8::1", "2002:a00:1::1", "3fff::1", "5f00::1", "fc00::1", "fd12::1", "fe80::1", "ff02::1"),
)


@pytest.mark.parametrize("address", INSIDE)
def test_a_name_that_stands_for_an_address_inside_is_refused_and_nobody_is_called(address: str) -> None:
    network = Network()

    for found in ([address], [PUBLIC, address], [address, PUBLIC]):
        with pytest.raises(AddressRefused, match="not public"):
            post("https://public.example/", network, Names(found))

    assert [] == network.dialled


@pytest.mark.parametrize("address", [PUBLIC, "8.8.8.8", "192.0.1.1", "2606:2800:220:1::1", "2a00:1450::1"])
def test_a_public_address_is_one(address: str) -> None:
    assert is_public(ip_address(address))


def test_a_name_is_looked_up_once_and_what_was_looked_at_is_called() -> None:
    network, names = Network(), Names([PUBLIC], ["127.0.0.1"])

    assert 200 == post("https://public.example/", network, names)

    assert (["public.example"], [(PUBLIC, 443)]) == (names.asked, network.dialled)
    with pytest.raises(AddressRefused):
        post("https://public.example/", network, names)
    assert [(PUBLIC, 443)] == network.dialled


def test_each_request_looks_the_name_up_again_since_no_connection_is_kept() -> None:
    network, names = Network(), Names([PUBLIC], ["8.8.8.8"], ["10.0.0.1"])

    async def run() -> None:
        sender = Outbound(Guard(), resolve=names.find, dialled=network)
        for _ in range(2):
            await sender.post("https://public.example/", headers={}, content=b"", seconds=30)
        with pytest.raises(AddressRefused):
            await sender.post("https://public.example/", headers={}, content=b"", seconds=30)

    asyncio.run(run())
    assert [(PUBLIC, 443), ("8.8.8.8", 443)] == network.dialled
    assert 2 == network.closed


def test_tls_and_the_host_header_keep_to_the_name() -> None:
    network = Network()

    post("https://public.example:8443/hook?x=1", network)

    head, _, body = network.written.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert [(PUBLIC, 8443)] == network.dialled
    assert ["public.example"] == network.tls_names
    assert "POST /hook?x=1 HTTP/1.1" == lines[0]
    assert {"Host: public.example:8443", "X-Told: yes", "Content-Length: 2"} <= set(lines)
    assert b"{}" == body


def test_whom_tls_leads_to_has_to_prove_its_name() -> None:
    context = httpcore2.default_ssl_context()  # which is taken unless a test brings its own

    assert (True, ssl.CERT_REQUIRED) == (context.check_hostname, context.verify_mode)


def test_the_host_header_of_an_address_of_ipv6_has_brackets() -> None:
    network = Network()

    post("https://[2606:2800:220:1::1]/", network)

    assert [("2606:2800:220:1::1", 443)] == network.dialled
    assert b"Host: [2606:2800:220:1::1]\r\n" in network.written


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_answered_and_not_followed(status: int) -> None:
    network = Network(f"HTTP/1.1 {status} X\r\nLocation: http://169.254.169.254/\r\n\r\n".encode())

    assert status == post("https://public.example/", network)

    assert [(PUBLIC, 443)] == network.dialled


def test_no_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:3128")
    network = Network()

    post("https://public.example/", network)

    assert [(PUBLIC, 443)] == network.dialled


def test_nothing_of_an_answers_body_is_read() -> None:
    network = Network(b"HTTP/1.1 200 OK\r\n\r\n", *[b"x" * 65536] * 1000)

    assert 200 == post("https://public.example/", network)

    assert (1, 1) == (network.reads, network.closed)


def test_headers_without_an_end_are_no_answer() -> None:
    network = Network(b"HTTP/1.1 200 OK\r\n", *[b"X-More: " + b"x" * 65536] * 1000)

    with pytest.raises(RequestFailed):
        post("https://public.example/", network)

    assert network.reads < 10


@pytest.mark.parametrize("answer", [b"", b"220 smtp ready\r\n", b"HTTP/1.1 999999 X\r\n\r\n", b"\x00\x01\x02"])
def test_what_is_no_http_is_no_answer(answer: bytes) -> None:
    with pytest.raises(RequestFailed):
        post("https://public.example/", Network(answer))


def test_the_next_address_is_tried_where_one_takes_no_connection() -> None:
    network = Network(down=[PUBLIC])

    assert 200 == post("https://public.example/", network, Names([PUBLIC, "8.8.8.8"]))

    assert [(PUBLIC, 443), ("8.8.8.8", 443)] == network.dialled
    with pytest.raises(RequestFailed, match="refused"):
        post("https://public.example/", network, Names([PUBLIC]))


def test_a_name_server_that_says_nothing_costs_no_more_than_the_time_there_is() -> None:
    class Silent(Names):
        async def find(self, host: str, port: int) -> list[Address]:
            await asyncio.Event().wait()
            raise AssertionError

    with pytest.raises(RequestFailed, match=r"no answer within 0.01 s"):
        post("https://public.example/", Network(), Silent(), seconds=0.01)


def test_what_the_operator_allows_is_called_also_without_encryption() -> None:
    network = Network()

    for url in ("http://127.0.0.1:8080/", "https://127.0.0.1/", "http://[::1]/", "http://[::ffff:127.0.0.1]/"):
        assert 200 == post(url, network, allowed="127.0.0.0/8, ::1/128")
    assert 200 == post("http://inside.example/", network, Names(["127.0.0.2", "::1"]), allowed="127.0.0.0/8, ::1/128")
    assert 200 == post("https://public.example/", network, allowed="127.0.0.0/8")

    addresses = ["127.0.0.1", "127.0.0.1", "::1", "127.0.0.1", "127.0.0.2", PUBLIC]
    assert addresses == [host for host, _ in network.dialled]


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://10.0.0.1/", []),
        ("http://93.184.216.34/", []),
        ("http://public.example/", [PUBLIC]),
        ("http://public.example/", ["127.0.0.1", PUBLIC]),
        ("https://inside.example/", ["127.0.0.1", "10.0.0.1"]),
    ],
)
def test_what_the_operator_allows_is_all_that_is_allowed(url: str, found: list[str]) -> None:
    network = Network()

    with pytest.raises(AddressRefused):
        post(url, network, Names(found), allowed="127.0.0.0/8")

    assert [] == network.dialled


def test_no_socket_of_this_machine_is_a_server() -> None:
    async def run() -> None:
        backend = outbound.CheckedBackend(Guard(), encrypted=True, resolve=Names([PUBLIC]).find, dialled=Network())
        with pytest.raises(AddressRefused):
            await backend.connect_unix_socket("/run/docker.sock")

    asyncio.run(run())


def test_an_address_of_ipv4_in_one_of_ipv6_is_taken_for_what_it_is() -> None:
    assert ip_address("127.0.0.1") == unmapped(ip_address("::ffff:7f00:1"))
    assert ip_address("::1") == unmapped(ip_address("::1"))


def test_the_systems_resolver_is_asked_and_its_answer_looked_at() -> None:
    async def run() -> None:
        with pytest.raises(AddressRefused, match="not public"):
            await Outbound(Guard()).post("https://localhost/", headers={}, content=b"", seconds=30)

    asyncio.run(run())


class Resolver:
    """The system's resolver: silent until it is told to `go_on`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go_on = threading.Event()
        self.most_at_once = self._at_once = 0
        self._lock = threading.Lock()
        monkeypatch.setattr(socket, "getaddrinfo", self._ask)

    def _ask(self, *_: Any, **__: Any) -> list[Any]:
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        assert self.go_on.wait(60)
        with self._lock:
            self._at_once -= 1
        return [(0, 0, 0, "", (PUBLIC, 443))]


def test_names_are_looked_up_on_few_threads_and_the_others_wait_for_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver = Resolver(monkeypatch)

    async def run() -> None:
        lookups = Lookups(most=2)
        waiting = [asyncio.create_task(lookups.find(f"{number}.example", 443)) for number in range(20)]
        await asyncio.sleep(0)  # all of them have begun
        waiting[0].cancel()  # its thread goes on
        await asyncio.gather(waiting[0], return_exceptions=True)
        assert not any(each.done() for each in waiting[1:])
        resolver.go_on.set()
        answers = await asyncio.gather(*waiting[1:])
        assert all([ip_address(PUBLIC)] == answer for answer in answers)

    asyncio.run(run())
    assert resolver.most_at_once <= 2


def test_who_waits_for_a_look_up_waits_no_longer_than_its_request_may_take(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver = Resolver(monkeypatch)

    async def run() -> None:
        sender = Outbound(Guard(), resolve=Lookups(most=1).find, dialled=Network())
        for _ in range(3):  # the first has the only turn, and is not waited for any longer
            with pytest.raises(RequestFailed, match=r"no answer within 0.01 s"):
                await sender.post("https://public.example/", headers={}, content=b"", seconds=0.01)
        resolver.go_on.set()
        assert 200 == await sender.post("https://public.example/", headers={}, content=b"", seconds=30)

    asyncio.run(run())


def test_a_look_up_whose_thread_cannot_be_started_gives_its_turn_back(monkeypatch: pytest.MonkeyPatch) -> None:
    Resolver(monkeypatch).go_on.set()

    def no_more(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def run() -> None:
        lookups = Lookups(most=1)
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", no_more)
            for _ in range(2):
                with pytest.raises(RequestFailed, match="cannot be looked up now"):
                    await lookups.find("public.example", 443)
        assert [ip_address(PUBLIC)] == await lookups.find("public.example", 443)

    asyncio.run(run())


@pytest.mark.parametrize("text", ["127.0.0.1/8", "localhost", "10.0.0.0/33", "*"])
def test_what_is_no_network_is_not_taken_for_one(text: str) -> None:
    with pytest.raises(ValueError, match=r"network|IPv4|bits|permitted"):
        networks(text)


def test_a_url_is_parsed_to_what_is_called() -> None:
    found = parsed("https://public.example:8443/x")

    assert ("https", "public.example", 8443, "/x") == (found.scheme, found.host, found.port, found.target)
