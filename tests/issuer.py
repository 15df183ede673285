"""An issuer of tokens, as a test has it: keys that it signs with, and the documents that it is found by."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1, SECP521R1, EllipticCurve
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from jwt.algorithms import get_default_algorithms

AUDIENCE = "offload"
CURVES: dict[str, EllipticCurve] = {"ES256": SECP256R1(), "ES384": SECP384R1(), "ES512": SECP521R1()}


class SigningKey:
    """A pair of keys of an issuer; the private one signs."""

    def __init__(self, kid: str, algorithm: str = "ES256", *, bits: int = 2048) -> None:
        self.kid, self.algorithm = kid, algorithm
        self.private: Any
        if algorithm in CURVES:
            self.private = generate_ec(CURVES[algorithm])
        elif algorithm == "EdDSA":
            self.private = Ed25519PrivateKey.generate()
        else:
            self.private = generate_rsa(65537, bits)

    def jwk(self, **members: Any) -> dict[str, Any]:
        """Return the public key as an issuer shows it; a member that is None is left out."""
        shown = get_default_algorithms()[self.algorithm].to_jwk(self.private.public_key(), as_dict=True)
        made = {**shown, "kid": self.kid, "use": "sig", "alg": self.algorithm, **members}
        return {name: value for name, value in made.items() if value is not None and name != "key_ops"}

    def sign(self, claims: dict[str, Any], **header: Any) -> str:
        """Return a token; a header of None is left out."""
        # PyJWT writes `typ` unless it is empty.
        headers = {"kid": self.kid, **header}
        made = {name: "" if name == "typ" and value is None else value for name, value in headers.items()}
        made = {name: value for name, value in made.items() if value is not None}
        return jwt.encode(claims, self.private, algorithm=self.algorithm, headers=made)


class TestIssuer:
    """An issuer with keys; `documents` has what it shows, by address."""

    __test__ = False

    def __init__(self, url: str = "https://issuer.example", *keys: SigningKey) -> None:
        self.url = url
        self.keys = list(keys or [SigningKey("first")])
        self.asked: list[str] = []
        self.away = False

    @property
    def documents(self) -> dict[str, bytes]:
        """What this issuer shows, by the path of the address."""
        described = {"issuer": self.url, "jwks_uri": f"{self.url}/keys", "token_endpoint": f"{self.url}/token"}
        return {
            "/.well-known/openid-configuration": json.dumps(described).encode(),
            "/keys": json.dumps({"keys": [key.jwk() for key in self.keys]}).encode(),
        }

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Return good claims with changes; one of None is left out."""
        now = time.time()
        made = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "somebody",
            "iat": int(now),
            "exp": int(now) + 3600,
            "tenant": "acme",
            "scope": "submit read cancel admin",
            **changes,
        }
        return {name: value for name, value in made.items() if value is not None}

    def token(self, **claims: Any) -> str:
        """Return a token of the latest key."""
        return self.keys[-1].sign(self.claims(**claims))

    def headers(self, **claims: Any) -> dict[str, str]:
        """Return the headers that a token is sent in."""
        return {"Authorization": f"Bearer {self.token(**claims)}"}

    def rotate(self, kid: str) -> None:
        """Sign with a new key from now on, and show that one alone."""
        self.keys = [SigningKey(kid)]


@contextmanager
def served_issuer() -> Iterator[TestIssuer]:
    """Serve an issuer on loopback for the length of a `with` block; while it is `away`, it answers 503."""
    issuer = TestIssuer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.asked.append(self.path)
            body = issuer.documents.get(self.path)
            self._answer(503 if issuer.away else 404 if body is None else 200, body or b"")

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answer = {"access_token": issuer.token(), "token_type": "Bearer", "expires_in": 3600}
            self._answer(200, json.dumps(answer).encode())

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        issuer.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield issuer
        finally:
            server.shutdown()
            thread.join()
