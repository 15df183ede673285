"""Whose token a request carries: what is taken, what is refused, and how long it is remembered."""

import asyncio
import base64
import json
from typing import Any
from urllib.parse import urlsplit

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from offload_api.access import Caller, Need, require
from offload_api.authentication import Authentication
from offload_api.issuer import Issuer
from offload_api.keyring import Keyring
from offload_api.problems import Problem
from offload_api.settings import ApiSettings
from offload_api.tokens import LEEWAY_SECONDS, LONGEST_TOKEN, MOST_REMEMBERED, REMEMBERED_SECONDS, Tokens
from offload_shared.errors import IssuerUnavailable
from offload_shared.ids import new_id
from offload_shared.keys import Scope, new_secret, written
from tests.issuer import AUDIENCE, SigningKey, TestIssuer

NOW = 2_000_000_000.0


class Service:
    """A service that takes tokens, an issuer beside it, and a clock that the test sets."""

    def __init__(self, *keys: SigningKey, **settings: Any) -> None:
        self.issuer = TestIssuer("https://issuer.example", *keys)
        self.seconds = NOW
        values = {"auth": "jwt", "jwt_issuer": self.issuer.url, "jwt_audience": AUDIENCE, **settings}
        self.settings = ApiSettings(**values)
        known = Issuer(self.issuer.url, fetch=self.fetch, clock=lambda: self.seconds)
        self.tokens = Tokens(known, self.settings, clock=lambda: self.seconds)

    async def fetch(self, url: str) -> bytes:
        if self.issuer.away:
            raise IssuerUnavailable("away")
        self.issuer.asked.append(url)
        return self.issuer.documents[urlsplit(url).path]

    def token(self, **claims: Any) -> str:
        return self.issuer.token(**{"iat": NOW, "exp": NOW + 300, **claims})

    def identify(self, *sent: str) -> Caller:
        return asyncio.run(self.tokens.identify([each.encode() for each in sent]))

    def takes(self, token: str) -> Caller:
        return self.identify(f"Bearer {token}")

    def refuses(self, token: str) -> str:
        return self.refuses_headers(f"Bearer {token}")

    def refuses_headers(self, *sent: str, challenge: str = 'Bearer error="invalid_token"') -> str:
        with pytest.raises(Problem) as caught:
            self.identify(*sent)
        assert (401, "/problems/unauthenticated") == (caught.value.details.status, caught.value.details.type)
        assert challenge == caught.value.headers["WWW-Authenticate"]
        return caught.value.details.detail


def forged(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"") -> str:
    parts = [json.dumps(header).encode(), json.dumps(claims).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


@pytest.fixture(scope="module")
def rsa() -> SigningKey:
    return SigningKey("rsa", "RS256")


def test_a_token_says_whose_it_is_and_what_it_allows() -> None:
    service = Service()

    expected = Caller(tenant="acme", subject="somebody", scopes=frozenset({Scope.READ, Scope.SUBMIT}))
    assert expected == service.takes(service.token(scope="read submit"))
    assert expected == service.identify(f"bearer  {service.token(scope=['submit', 'read', 'openid', 5])}")
    assert (None, "token") == (expected.key_id, expected.credential)


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "ES512", "EdDSA"])
def test_each_kind_of_key_is_taken(algorithm: str) -> None:
    service = Service(SigningKey("k", algorithm))

    assert "acme" == service.takes(service.token()).tenant


@pytest.mark.parametrize("algorithm", ["RS256", "RS512", "PS256", "PS384"])
def test_an_rsa_key_is_good_for_what_its_issuer_says(rsa: SigningKey, algorithm: str) -> None:
    service = Service(rsa)
    claims = service.issuer.claims(iat=NOW, exp=NOW + 300)
    signed = jwt.encode(claims, rsa.private, algorithm=algorithm, headers={"kid": "rsa"})

    if algorithm == "RS256":
        service.takes(signed)
    else:
        assert "a key that is none of its issuer's" in service.refuses(signed)


@pytest.mark.parametrize(
    ("claims", "word"),
    [
        ({"iss": "https://other.example"}, "another issuer"),
        ({"iss": "https://issuer.example/"}, "another issuer"),
        ({"iss": None}, "no claim `iss`"),
        ({"aud": "other"}, "another audience"),
        ({"aud": ["other", "offload2"]}, "another audience"),
        ({"aud": None}, "no claim `aud`"),
        ({"exp": NOW - LEEWAY_SECONDS}, "has expired"),
        ({"exp": None}, "no claim `exp`"),
        ({"exp": "tomorrow"}, "exp"),
        ({"exp": 1e300}, "exp"),
        ({"exp": float("inf")}, "exp"),
        ({"exp": float("nan")}, "exp"),
        ({"nbf": NOW + LEEWAY_SECONDS + 1}, "not valid yet"),
        ({"iat": NOW + LEEWAY_SECONDS + 1}, "not valid yet"),
        ({"sub": None}, "no claim `sub`"),
        ({"sub": ""}, "sub"),
        ({"sub": "a\nb"}, "sub"),
        ({"sub": "a\n"}, "sub"),
        ({"sub": "x" * 256}, "sub"),
        ({"sub": 5}, "malformed"),
        ({"tenant": None}, "claim `tenant`"),
        ({"tenant": ""}, "claim `tenant`"),
        ({"tenant": "a b"}, "claim `tenant`"),
        ({"tenant": "acme\n"}, "claim `tenant`"),
        ({"tenant": ["acme"]}, "claim `tenant`"),
    ],
)
def test_a_token_whose_claims_are_not_good_is_refused_with_what_is_wrong(claims: dict[str, Any], word: str) -> None:
    service = Service()
    made = service.issuer.claims(**{"iat": NOW, "exp": NOW + 300, **claims})
    # PyJWT itself would not write some of these.
    token = jwt.api_jws.encode(json.dumps(made).encode(), service.issuer.keys[0].private, "ES256", {"kid": "first"})

    assert word in service.refuses(token)


def test_clocks_may_differ_by_some_seconds() -> None:
    service = Service()

    service.takes(service.token(exp=NOW - LEEWAY_SECONDS + 1))
    service.takes(service.token(iat=NOW + LEEWAY_SECONDS, nbf=NOW + LEEWAY_SECONDS))


def test_one_of_several_audiences_is_enough() -> None:
    service = Service()

    service.takes(service.token(aud=["other", AUDIENCE]))


class TestForgery:
    @pytest.mark.parametrize("name", ["none", "None", "NONE", "HS256", "HS512", "", "RS1", "ES256K"])
    def test_no_token_chooses_an_algorithm_that_is_not_asymmetric(self, name: str) -> None:
        service = Service()

        assert "has to be signed by one of" in service.refuses(
            forged({"alg": name, "kid": "first", "typ": "JWT"}, service.issuer.claims(), b"x")
        )
        assert [] == service.issuer.asked

    def test_a_public_key_is_no_secret_to_sign_with(self, rsa: SigningKey) -> None:
        service = Service(rsa)
        public = rsa.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        algorithm = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
        unsigned = forged({"alg": "HS256", "kid": "rsa"}, service.issuer.claims()).removesuffix(".")
        made = base64.urlsafe_b64encode(algorithm.sign(unsigned.encode(), public)).rstrip(b"=").decode()

        assert "has to be signed by one of" in service.refuses(f"{unsigned}.{made}")

    def test_another_key_of_the_same_id_signs_nothing(self) -> None:
        service = Service()
        other = SigningKey("first")

        assert "signature is not" in service.refuses(other.sign(service.issuer.claims()))

    def test_changed_claims_are_noticed(self) -> None:
        service = Service()
        head, _, signature = service.token().split(".")
        claims = forged({}, service.issuer.claims(tenant="other")).split(".")[1]

        assert "signature is not" in service.refuses(f"{head}.{claims}.{signature}")

    def test_a_key_that_the_token_brings_or_names_is_not_looked_at(self) -> None:
        service = Service()
        own = SigningKey("own")
        token = own.sign(service.issuer.claims(), jwk=own.jwk(), jku="https://evil.example/keys", x5u="https://evil")

        assert "a key that is none of its issuer's" in service.refuses(token)
        assert {"issuer.example"} == {urlsplit(url).hostname for url in service.issuer.asked}

    @pytest.mark.parametrize(
        "header",
        [{"typ": "logout+jwt"}, {"typ": 5}, {"kid": None}, {"crit": ["exp"], "exp": 1}, {"crit": []}],
    )
    def test_a_header_that_means_something_else_is_refused(self, header: dict[str, Any]) -> None:
        service = Service()
        claims = json.dumps(service.issuer.claims(iat=NOW, exp=NOW + 300)).encode()
        headers = {name: value for name, value in {"kid": "first", **header}.items() if value is not None}
        head = base64.urlsafe_b64encode(json.dumps({"alg": "ES256", **headers}).encode()).rstrip(b"=")
        body = base64.urlsafe_b64encode(claims).rstrip(b"=")
        key = service.issuer.keys[0].private
        signer = jwt.algorithms.get_default_algorithms()["ES256"]
        signature = base64.urlsafe_b64encode(signer.sign(b"%s.%s" % (head, body), key)).rstrip(b"=")

        service.refuses(b".".join((head, body, signature)).decode())

    @pytest.mark.parametrize("kind", [None, "JWT", "at+jwt", "application/AT+JWT"])
    def test_an_access_token_may_say_that_it_is_one(self, kind: str | None) -> None:
        service = Service()

        service.takes(service.issuer.keys[0].sign(service.issuer.claims(iat=NOW, exp=NOW + 300), typ=kind))

    @pytest.mark.parametrize(
        "token", ["..", "a.b.c", "e30.e30.", "e30.e30.e30.e30.e30", "", "x", "ofl_1_2", "W10.e30.e30", "a.b"]
    )
    def test_what_is_no_token_is_refused_without_asking_the_issuer(self, token: str) -> None:
        service = Service()

        service.refuses(token)
        assert [] == service.issuer.asked

    def test_a_header_nested_deep_is_refused(self) -> None:
        deep = base64.urlsafe_b64encode(b"[" * 3000).rstrip(b"=").decode()

        assert "malformed" in Service().refuses(f"{deep}.e30.e30")

    def test_what_is_too_long_is_not_looked_at(self) -> None:
        service = Service()

        assert f"longer than {LONGEST_TOKEN}" in service.refuses(service.token(text="x" * LONGEST_TOKEN))
        assert [] == service.issuer.asked


def test_without_a_token_the_answer_says_nothing_of_a_mistake() -> None:
    Service().refuses_headers(challenge="Bearer")


def test_two_tokens_at_once_and_other_kinds_are_refused() -> None:
    service = Service()
    token = service.token()

    service.refuses_headers(f"Bearer {token}", f"Bearer {token}")
    service.refuses_headers(f"Basic {token}")
    service.refuses_headers(f"Bearer {token} x")


class TestClaims:
    def test_the_operator_says_where_scopes_and_tenants_are(self) -> None:
        service = Service(jwt_scope_claim="scp", jwt_tenant_claim="https://example.com/org", jwt_scope_prefix="ofl:")

        claims = {"scope": None, "tenant": None, "https://example.com/org": "beta"}
        caller = service.takes(service.token(scp="ofl:read submit ofl:openid ofl:", **claims))

        assert ("beta", frozenset({Scope.READ})) == (caller.tenant, caller.scopes)
        with pytest.raises(Problem) as caught:
            require(Need(Scope.SUBMIT), caller)
        assert 'Bearer error="insufficient_scope", scope="ofl:submit"' == caught.value.headers["WWW-Authenticate"]
        assert "This needs a token with the scope `ofl:submit`." == caught.value.details.detail

    @pytest.mark.parametrize("scope", [None, "", "READ", "reading", 5, {"read": True}, ["read submit"]])
    def test_what_is_no_scope_allows_nothing(self, scope: Any) -> None:
        service = Service()

        assert frozenset() == service.takes(service.token(scope=scope)).scopes

    def test_where_tokens_name_no_tenant_all_are_of_the_default_one_if_the_operator_says_so(self) -> None:
        service = Service(jwt_tenant_claim="none")

        caller = service.takes(service.token(tenant="acme"))

        assert ("", True) == (caller.tenant, caller.operator)

    def test_no_token_with_a_tenant_is_the_operators(self) -> None:
        service = Service()

        assert not service.takes(service.token()).operator


class TestRemembering:
    def test_a_verified_token_is_not_verified_again_for_some_time(self) -> None:
        service = Service()
        token = service.token()
        first = service.takes(token)

        service.seconds += REMEMBERED_SECONDS - 1
        assert service.takes(token) is first
        service.seconds += 1
        assert service.takes(token) is not first

    def test_a_token_expires_to_the_moment_also_while_it_is_remembered(self) -> None:
        service = Service()
        token = service.token(exp=NOW + 5)
        service.takes(token)

        service.seconds += 5 + LEEWAY_SECONDS - 0.1
        service.takes(token)
        service.seconds += 0.1

        assert "has expired" in service.refuses(token)

    def test_a_token_is_good_no_longer_once_its_key_is_taken_back(self) -> None:
        service = Service()
        old = service.token(exp=NOW + 3600)
        service.takes(old)
        service.issuer.rotate("second")
        service.seconds += 10

        service.takes(service.token())

        assert "a key that is none of its issuer's" in service.refuses(old)

    def test_many_tokens_do_not_fill_the_memory(self) -> None:
        service = Service()
        token = service.token()
        service.takes(token)
        [[digest, known]] = service.tokens._known.items()
        service.tokens._known = {bytes([i % 256, i // 256]): known for i in range(MOST_REMEMBERED)}

        service.takes(token)

        assert {digest: known} == service.tokens._known

    def test_no_token_is_kept(self) -> None:
        service = Service()
        token = service.token()
        service.takes(token)

        assert token not in repr(service.tokens._known)


class TestIssuerAway:
    def test_a_token_of_an_unknown_key_cannot_be_verified(self) -> None:
        service = Service()
        service.issuer.away = True

        with pytest.raises(IssuerUnavailable):
            service.takes(service.token())

    def test_a_token_of_a_known_key_can(self) -> None:
        service = Service()
        service.takes(service.token())
        service.issuer.away = True
        service.seconds += 600

        assert "another" == service.takes(service.token(sub="another", exp=NOW + 900)).subject


class TestKeysBeside:
    def test_a_key_and_a_token_are_told_apart(self) -> None:
        service, asked = Service(), list[Any]()

        async def find(key_ids: Any) -> dict[str, Any]:
            asked.extend(key_ids)
            return {}

        both = Authentication(Keyring(find), service.tokens)
        key_id = new_id()

        async def run() -> None:
            assert "acme" == (await both.identify([f"Bearer {service.token()}".encode()])).tenant
            assert [] == asked
            for sent in ([], [b"Bearer x"], [b"Basic x"], [f"Bearer {written(key_id, new_secret())}".encode()]):
                with pytest.raises(Problem) as caught:
                    await both.identify(sent)
                assert 401 == caught.value.details.status

        asyncio.run(run())
        assert [key_id] == asked
