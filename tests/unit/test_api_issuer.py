"""How the keys of an issuer are found, kept, and followed when they change."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from jwt import PyJWK
from jwt.algorithms import get_default_algorithms

from offload_api import fetching, jwks
from offload_api.issuer import KEPT_SECONDS, PAUSE_SECONDS, REFRESH_SECONDS, Issuer
from offload_api.jwks import ALGORITHMS, key_set
from offload_shared.errors import IssuerUnavailable
from tests.issuer import SigningKey, TestIssuer

URL = "https://issuer.example"


class Known:
    """What is known of an issuer that is away, slow or changing as the test wants it."""

    def __init__(self, answer_seconds: float = 60.0) -> None:
        self.shown = TestIssuer(URL)
        self.documents: dict[str, bytes] = {}  # instead of its own
        self.seconds = 1000.0
        self.asked = 0
        self.gate: asyncio.Event | None = None
        self.issuer = Issuer(URL, fetch=self.fetch, answer_seconds=answer_seconds, clock=lambda: self.seconds)

    async def fetch(self, url: str) -> bytes:
        path = urlsplit(url).path
        self.asked += path.startswith("/.well-known")
        if self.gate:
            await self.gate.wait()
        if self.shown.away:
            raise IssuerUnavailable("away")
        return {**self.shown.documents, **self.documents}[path]

    async def has(self, kid: str) -> bool:
        return await self.issuer.key(kid, "ES256") is not None


def running(claim: Callable[[Known], Awaitable[None]]) -> None:
    async def run() -> None:
        await claim(Known())

    asyncio.run(run())


def test_the_first_token_finds_the_keys() -> None:
    async def claim(known: Known) -> None:
        assert await known.has("first")
        assert await known.has("first")
        assert 1 == known.asked

    running(claim)


def test_a_key_is_found_for_its_own_algorithm_alone() -> None:
    async def claim(known: Known) -> None:
        for algorithm in ALGORITHMS - {"ES256"}:
            assert await known.issuer.key("first", algorithm) is None

    running(claim)


def test_a_changed_key_is_followed_as_soon_as_a_token_names_it() -> None:
    async def claim(known: Known) -> None:
        assert await known.has("first")
        known.shown.rotate("second")
        known.seconds += PAUSE_SECONDS

        assert await known.has("second")
        assert not await known.has("first")

    running(claim)


def test_made_up_keys_however_many_ask_the_issuer_once_in_a_while() -> None:
    async def claim(known: Known) -> None:
        await known.has("first")
        for turn in range(3):
            known.seconds += PAUSE_SECONDS
            found = await asyncio.gather(*(known.has(f"{turn} {number}") for number in range(500)))
            assert not any(found)
            assert turn + 2 == known.asked
        assert await known.has("first")

    running(claim)


def test_who_comes_while_the_issuer_is_asked_waits_for_the_same_answer() -> None:
    async def claim(known: Known) -> None:
        known.gate = asyncio.Event()
        waiting = [asyncio.create_task(known.has("first")) for _ in range(20)]
        await asyncio.sleep(0)
        known.gate.set()

        assert all(await asyncio.gather(*waiting))
        assert 1 == known.asked

    running(claim)


def test_nobody_waits_for_a_silent_issuer_for_longer_than_a_request_may_take() -> None:
    async def claim(_: Known) -> None:
        known = Known(answer_seconds=0.01)
        known.gate = asyncio.Event()
        with pytest.raises(IssuerUnavailable):
            await known.has("first")

        known.gate.set()
        assert known.issuer._flight is not None
        await known.issuer._flight
        assert await known.has("first")
        assert 1 == known.asked

    running(claim)


def test_in_the_background_keys_are_fetched_again_when_their_time_has_come() -> None:
    async def claim(known: Known) -> None:
        await known.issuer.step()
        await known.issuer.step()
        assert 1 == known.asked
        known.shown.rotate("second")

        known.seconds += REFRESH_SECONDS
        await known.issuer.step()

        assert not await known.has("first")
        assert 2 == known.asked

    running(claim)


def test_the_same_keys_fetched_again_are_the_same_object() -> None:
    async def claim(known: Known) -> None:
        await known.issuer.step()
        before = known.issuer.keys
        known.seconds += REFRESH_SECONDS
        await known.issuer.step()
        assert known.issuer.keys is before

        known.shown.keys = [SigningKey("first")]  # another one of the same id
        known.seconds += REFRESH_SECONDS
        await known.issuer.step()
        assert known.issuer.keys is not before

    running(claim)


def test_while_the_issuer_is_away_its_keys_are_kept_for_an_hour() -> None:
    async def claim(known: Known) -> None:
        await known.issuer.step()
        known.shown.away = True
        known.seconds += KEPT_SECONDS - 1
        await known.issuer.step()
        assert await known.has("first")

        known.seconds += 1
        with pytest.raises(IssuerUnavailable):
            await known.has("first")

        known.shown.away = False
        known.seconds += PAUSE_SECONDS
        assert await known.has("first")

    running(claim)


def test_while_the_issuer_is_away_it_is_asked_again_with_a_pause() -> None:
    async def claim(known: Known) -> None:
        known.shown.away = True
        for _ in range(3):
            known.seconds += PAUSE_SECONDS
            for _ in range(3):
                await known.issuer.step()
                with pytest.raises(IssuerUnavailable):
                    await known.has("first")
        assert 3 == known.asked

    running(claim)


def test_an_outage_is_told_once_and_its_end_too(caplog: pytest.LogCaptureFixture) -> None:
    async def claim(known: Known) -> None:
        for away in (True, True, True, False, False):
            known.shown.away = away
            known.seconds += REFRESH_SECONDS
            await known.issuer.step()

    caplog.set_level("INFO", "offload_api.issuer")
    running(claim)

    assert ["WARNING", "INFO"] == [each.levelname for each in caplog.records]


def described(**changes: Any) -> dict[str, bytes]:
    whole = {"issuer": URL, "jwks_uri": f"{URL}/keys", **changes}
    return {"/.well-known/openid-configuration": json.dumps(whole).encode()}


@pytest.mark.parametrize(
    "documents",
    [
        described(issuer=f"{URL}/"),
        described(issuer="https://evil.example"),
        described(issuer=None),
        described(jwks_uri=5),
        {"/.well-known/openid-configuration": b"<html>"},
        {"/.well-known/openid-configuration": b"\xff"},
        {"/.well-known/openid-configuration": b"[" * 100_000},
        {"/keys": b"{}"},
        {"/keys": b'{"keys": []}'},
        {"/keys": b'{"keys": [5]}'},
        {"/keys": b'{"keys": {"kty": "RSA"}}'},
        {"/keys": b"\xff"},
        {"/keys": b"[" * 100_000},
    ],
)
def test_what_makes_no_sense_replaces_no_key_that_is_known(documents: dict[str, bytes]) -> None:
    async def claim(known: Known) -> None:
        await known.issuer.step()
        known.documents = documents
        known.seconds += REFRESH_SECONDS

        await known.issuer.step()

        assert await known.has("first")
        with pytest.raises(IssuerUnavailable):
            await known.has("second")

    running(claim)


@pytest.mark.parametrize("url", [URL, f"{URL}/", f"{URL}/realms/a"])
def test_an_issuer_describes_itself_below_its_own_address(url: str) -> None:
    assert f"{url.rstrip('/')}/.well-known/openid-configuration" == fetching.configuration_url(url)


class TestKeySets:
    @pytest.mark.parametrize(
        ("algorithm", "shown", "expected"),
        [
            ("ES256", {}, {"ES256"}),
            ("ES256", {"alg": None, "use": None}, {"ES256"}),
            ("ES512", {"alg": None}, {"ES512"}),
            ("EdDSA", {"alg": None}, {"EdDSA"}),
            ("RS256", {"alg": "PS256"}, {"PS256"}),
            ("RS256", {"alg": None}, {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}),
            ("RS256", {"alg": "RSA-OAEP"}, set()),
            ("RS256", {"alg": "HS256"}, set()),
            ("RS256", {"use": "enc"}, set()),
            ("RS256", {"n": None}, set()),
            ("RS256", {"n": "AQAB"}, set()),
            ("ES256", {"alg": "ES384"}, set()),
            ("ES256", {"crv": "P-384"}, set()),
            ("ES256", {"x": "AAAA"}, set()),
            ("ES256", {"x": 5}, set()),
            ("ES256", {"kid": None}, set()),
            ("ES256", {"kid": 5}, set()),
            ("ES256", {"kty": ["EC"]}, set()),
            ("ES256", {"crv": {}}, set()),
        ],
    )
    def test_of_a_set_the_keys_that_sign_are_used(self, algorithm: str, shown: dict[str, Any], expected: Any) -> None:
        jwk = SigningKey("k", algorithm).jwk(**shown)
        secret = {"kty": "oct", "kid": "s", "k": "AAAA", "alg": "HS256"}

        assert {("k", each) for each in expected} == key_set(json.dumps({"keys": [secret, jwk]}).encode()).keys()

    def test_a_key_that_cannot_be_read_here_takes_no_other_with_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def read(jwk: dict[str, Any], algorithm: str) -> PyJWK:
            if jwk["kid"] == "odd":
                raise UnsupportedAlgorithm("this machine does not know the curve")
            return PyJWK(jwk, algorithm)

        monkeypatch.setattr(jwks, "PyJWK", read)
        shown = [SigningKey(name, "ES256").jwk() for name in ("one", "odd", "another")]

        assert {("one", "ES256"), ("another", "ES256")} == key_set(json.dumps({"keys": shown}).encode()).keys()

    @pytest.mark.parametrize(("operations", "used"), [(["verify"], True), (["encrypt"], False), ("verify", False)])
    def test_what_a_key_is_for_may_be_said_in_another_way(self, operations: Any, used: bool) -> None:
        jwk = {**SigningKey("k").jwk(use=None), "key_ops": operations}

        assert used == bool(key_set(json.dumps({"keys": [jwk]}).encode()))

    @pytest.mark.parametrize("algorithm", ["ES256", "RS256", "EdDSA"])
    def test_a_key_that_is_not_secret_any_more_is_left_out(self, algorithm: str) -> None:
        key = SigningKey("k", algorithm)
        shown = {**get_default_algorithms()[algorithm].to_jwk(key.private, as_dict=True), "kid": "k"}
        shown.pop("key_ops", None)

        assert {} == key_set(json.dumps({"keys": [shown]}).encode())

    def test_a_short_rsa_key_is_left_out(self) -> None:
        jwk = SigningKey("k", "RS256", bits=1024).jwk()

        assert {} == key_set(json.dumps({"keys": [jwk]}).encode())


class TestFetching:
    @pytest.mark.parametrize(
        ("url", "good"),
        [
            ("https://issuer.example/realms/a", True),
            ("http://127.0.0.1:8080", True),
            ("http://[::1]:8080", True),
            ("http://localhost", True),
            ("http://issuer.example", False),
            ("http://localhost.evil.example", False),
            ("http://127.0.0.1.evil.example", False),
            ("http://10.0.0.1", False),
            ("file:///etc/passwd", False),
            ("ftp://localhost/", False),
            ("https://", False),
            ("https://[x", False),
            ("https://issuer.example:port", False),
            ("issuer.example", False),
            ("", False),
        ],
    )
    def test_keys_come_over_tls_or_from_this_machine(self, url: str, good: bool) -> None:
        assert good == fetching.is_trustworthy(url)
        if not good:
            with pytest.raises(IssuerUnavailable):
                fetching.fetch(url)

    @contextmanager
    def answering(self, status: int, body: bytes, **headers: str) -> Iterator[str]:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        with HTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = Thread(target=server.handle_request)
            thread.start()
            yield f"http://127.0.0.1:{server.server_port}/"
            thread.join()

    @pytest.fixture(autouse=True)
    def without_a_proxy(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("no_proxy", "*")

    def test_what_is_there_is_returned(self) -> None:
        with self.answering(200, b"{}") as url:
            assert b"{}" == fetching.fetch(url)

    @pytest.mark.parametrize("status", [301, 302, 307, 404, 500])
    def test_anything_but_success_is_none_and_no_redirect_is_followed(self, status: int) -> None:
        given = self.answering(status, b"{}", Location="http://127.0.0.1:1/")
        with given as url, pytest.raises(IssuerUnavailable, match=f"answered {status}"):
            fetching.fetch(url)

    def test_an_endless_answer_is_given_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(fetching, "LARGEST_BYTES", 10)
        with self.answering(200, b"x" * 11) as url, pytest.raises(IssuerUnavailable, match="more than 10 bytes"):
            fetching.fetch(url)

    def test_nobody_there_is_said(self) -> None:
        with self.answering(200, b"") as url:
            fetching.fetch(url)
        with pytest.raises(IssuerUnavailable, match="could not be fetched"):
            fetching.fetch(url)
