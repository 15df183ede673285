"""Tokens over HTTP, of an issuer that is found and asked over HTTP too: on embedded parts, and on both servers."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from offload_shared.keys import Scope
from offload_shared.store import api_keys
from offload_shared.store.database import Database
from tests.acceptance.conftest import EMBEDDED_AND_WHOLE, combination
from tests.acceptance.stack import Stack, until
from tests.api import Headers, problem
from tests.integration.test_api_jobs import UNKNOWN_ID
from tests.integration.test_api_keys import command
from tests.issuer import AUDIENCE, TestIssuer, served_issuer

ECHO: dict[str, Any] = {"task": "echo", "payload": {"text": "mine"}}


class Guarded:
    """Services that ask for tokens, and the issuer of these."""

    def __init__(self, stack: Stack, issuer: TestIssuer) -> None:
        self.stack, self.issuer, self.http = stack, issuer, stack.http

    def submit(self, by: Headers) -> httpx2.Response:
        return self.http.post("/v1/jobs", json=ECHO, headers=by)

    def status(self, by: Headers, path: str = "/v1/jobs") -> int:
        return self.http.get(path, headers=by).status_code


@contextmanager
def guarded(name: str, request: pytest.FixtureRequest, folder: Path, **settings: str) -> Iterator[Guarded]:
    with ExitStack() as stack:
        issuer = stack.enter_context(served_issuer())
        services = stack.enter_context(combination(name, request, folder))
        given = {"auth": "jwt", "jwt_issuer": issuer.url, "jwt_audience": AUDIENCE, **settings}
        services.environment |= {f"OFFLOAD_{name.upper()}": value for name, value in given.items()}
        services.environment["no_proxy"] = "*"
        yield Guarded(services, issuer)


@pytest.fixture(scope="module", params=EMBEDDED_AND_WHOLE)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """Services whose issuer stays as it is."""
    with guarded(request.param, request, tmp_path_factory.mktemp("services")) as made:
        made.stack.start_api()
        yield made


@pytest.fixture(params=EMBEDDED_AND_WHOLE)
def own(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Guarded]:
    """Services whose issuer the test may change; the test starts them."""
    with guarded(request.param, request, tmp_path) as made:
        yield made


def test_a_job_that_a_token_submits_runs_and_is_its_tenants(own: Guarded) -> None:
    own.stack.start_api()
    own.stack.start_worker()
    own.http.headers.update(own.issuer.headers(scope="submit read"))

    job_id = own.stack.submit("echo", {"text": "by a token"})

    assert {"text": "by a token"}.items() <= own.stack.result(job_id).items()
    assert 404 == own.status(own.issuer.headers(tenant="other"), f"/v1/jobs/{job_id}")


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer x.y.z"}, {"Authorization": "Bearer ofl_1_2"}])
def test_without_a_token_nothing_is_served_but_health_and_the_document(running: Guarded, headers: Headers) -> None:
    for method, path in (("GET", "/v1/jobs"), ("POST", "/v1/jobs"), ("GET", f"/v1/jobs/{UNKNOWN_ID}")):
        answer = running.http.request(method, path, headers=headers)
        assert (401, "/problems/unauthenticated") == (answer.status_code, problem(answer)["type"])
        assert ('Bearer error="invalid_token"' if headers else "Bearer") == answer.headers["www-authenticate"]

    for path in ("/", "/docs", "/health/live", "/health/ready", "/schema/openapi.json"):
        assert 200 == running.status(headers, path)


@pytest.mark.parametrize(
    ("claims", "word"),
    [
        ({"iss": "https://other.example"}, "another issuer"),
        ({"aud": "other"}, "another audience"),
        ({"exp": 1}, "has expired"),
        ({"nbf": 4_000_000_000}, "not valid yet"),
        ({"tenant": None}, "claim `tenant`"),
    ],
)
def test_a_token_that_is_not_good_is_refused_with_what_is_wrong(
    running: Guarded, claims: dict[str, Any], word: str
) -> None:
    answer = running.http.get("/v1/jobs", headers=running.issuer.headers(**claims))

    assert 401 == answer.status_code
    assert word in problem(answer)["detail"]


def test_a_token_without_the_scope_is_told_which_it_lacks(running: Guarded) -> None:
    answer = running.submit(running.issuer.headers(scope="read cancel"))

    assert (403, "/problems/forbidden") == (answer.status_code, problem(answer)["type"])
    assert "This needs a token with the scope `submit`." == problem(answer)["detail"]
    assert 'Bearer error="insufficient_scope", scope="submit"' == answer.headers["www-authenticate"]


def test_what_is_another_tenants_is_answered_as_what_is_not_there(running: Guarded) -> None:
    mine, theirs = running.issuer.headers(tenant="a"), running.issuer.headers(tenant="b")
    job_id = running.submit(mine).json()["id"]

    answers = [running.http.get(f"/v1/jobs/{each}", headers=theirs) for each in (job_id, UNKNOWN_ID)]

    assert [404, 404] == [each.status_code for each in answers]
    assert answers[0].content == answers[1].content
    assert 200 == running.status(mine, f"/v1/jobs/{job_id}")
    assert [] == running.http.get("/v1/jobs", headers=theirs).json()["jobs"]


def test_what_serves_all_tenants_is_for_no_token_of_a_tenant(running: Guarded) -> None:
    for path in ("/v1/queues", "/v1/workers"):
        assert 403 == running.status(running.issuer.headers(), path)


def test_the_trail_says_whose_token_asked(running: Guarded) -> None:
    mine = running.issuer.headers(tenant="trail", sub="client-1@clients")
    other = running.issuer.headers(tenant="trail", sub="somebody|else")
    ids = [running.submit(by).json()["id"] for by in (mine, other)]
    running.submit(running.issuer.headers(tenant="trail", sub="no one", scope="read"))

    def told(**query: Any) -> list[tuple[Any, ...]]:
        answer = running.http.get("/v1/audit", params=query, headers=mine).raise_for_status()
        return [(each["subject"], each["key_id"], each["target"], each["status"]) for each in answer.json()["entries"]]

    expected = [
        ("no one", None, None, 403),
        ("somebody|else", None, ids[1], 202),
        ("client-1@clients", None, ids[0], 202),
    ]
    until(lambda: told() == expected, "the trail")
    assert expected[1:2] == told(subject="somebody|else")
    assert 400 == running.status(mine, "/v1/audit?subject=%0A")
    log = "".join(each.log.read_text() for each in running.stack.processes)
    assert '"subject":"client-1@clients"' in log
    assert mine["Authorization"].split()[1] not in log


def test_a_new_key_of_the_issuer_is_followed_and_an_old_one_is_good_no_longer(own: Guarded) -> None:
    own.stack.start_api()
    old = own.issuer.headers()
    assert 200 == own.status(old)

    own.issuer.rotate("second")

    new = own.issuer.headers()
    until(lambda: 200 == own.status(new), "the new key")
    assert 401 == own.status(old)


def test_a_stream_ends_when_the_key_of_its_token_is_taken_back(own: Guarded) -> None:
    own.stack.start_api()
    mine = own.issuer.headers()
    job_id = own.submit(mine).json()["id"]
    with own.http.stream("GET", f"/v1/jobs/{job_id}/events", headers=mine) as stream:
        lines = stream.iter_lines()
        until(lambda: next(lines).startswith("data:"), "the first event")
        own.issuer.rotate("second")
        new = own.issuer.headers()
        until(lambda: 200 == own.status(new), "the new key")
        own.http.post(f"/v1/jobs/{job_id}/cancel", headers=new).raise_for_status()

        assert not [line for line in lines if line.startswith("data:")]


def test_an_issuer_that_is_away_keeps_nobody_out_whose_key_is_known(own: Guarded) -> None:
    own.stack.start_api()
    assert 202 == own.submit(own.issuer.headers()).status_code
    own.issuer.away = True

    assert 202 == own.submit(own.issuer.headers(sub="another")).status_code
    own.issuer.rotate("second")
    until(lambda: 503 == own.submit(own.issuer.headers()).status_code, "an attempt that fails")
    answer = own.submit(own.issuer.headers())
    assert (503, "/problems/unavailable") == (answer.status_code, problem(answer)["type"])
    assert int(answer.headers["retry-after"]) >= 1

    own.issuer.away = False
    until(lambda: 202 == own.submit(own.issuer.headers()).status_code, "the issuer's return")


def test_the_api_starts_while_its_issuer_is_away(own: Guarded) -> None:
    own.issuer.away = True
    api = own.stack.start_api()

    assert 503 == own.submit(own.issuer.headers()).status_code
    assert 200 == own.status({}, "/health/ready")
    api.says("answered 503")

    own.issuer.away = False
    until(lambda: 202 == own.submit(own.issuer.headers()).status_code, "the issuer's return")


def test_made_up_keys_do_not_reach_the_issuer_one_by_one(own: Guarded) -> None:
    own.stack.start_api()
    own.status(own.issuer.headers())
    began, asked = time.monotonic(), len(own.issuer.asked)

    for number in range(200):
        token = own.issuer.keys[0].sign(own.issuer.claims(), kid=f"made up {number}")
        assert 401 == own.status({"Authorization": f"Bearer {token}"})

    # Two documents at a time, every five seconds at most.
    assert len(own.issuer.asked) - asked <= 2 * (1 + (time.monotonic() - began) // 5)


def test_keys_and_tokens_may_both_let_in(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    with guarded("sqlite", request, tmp_path, auth="keys+jwt", jwt_scope_prefix="offload:") as both:
        both.stack.start_api()
        database = Database(f"sqlite:///{tmp_path / 'data' / 'offload.db'}")
        _, key = api_keys.create(database, tenant="acme", name="", scopes=[Scope.SUBMIT])
        database.dispose()

        by_key = both.submit({"Authorization": f"Bearer {key}"})

        assert 202 == by_key.status_code
        reading = both.issuer.headers(scope="offload:read")
        assert 200 == both.status(reading, f"/v1/jobs/{by_key.json()['id']}")
        assert 'scope="offload:submit"' in both.submit(reading).headers["www-authenticate"]
        assert 403 == both.submit(both.issuer.headers(scope="submit")).status_code
        assert "a key or a token" in problem(both.submit({}))["detail"]


def test_a_tenants_requests_are_limited_whoever_sends_them(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    with guarded("sqlite", request, tmp_path, max_requests_per_minute="3") as limited:
        limited.stack.start_api()

        statuses = [limited.status(limited.issuer.headers(sub=f"client {number}")) for number in range(4)]

        assert [200, 200, 200, 429] == statuses
        assert 200 == limited.status(limited.issuer.headers(tenant="other"))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({}, "OFFLOAD_AUTH is 'jwt': set OFFLOAD_JWT_ISSUER as well"),
        ({"jwt_issuer": "https://issuer.example"}, "OFFLOAD_AUTH is 'jwt': set OFFLOAD_JWT_AUDIENCE as well"),
        ({"jwt_issuer": "http://issuer.example", "jwt_audience": "x"}, "OFFLOAD_JWT_ISSUER is 'http://issuer.example'"),
    ],
)
def test_what_is_missing_is_said_in_a_sentence(tmp_path: Path, settings: dict[str, str], sentence: str) -> None:
    ended = command(data_dir=str(tmp_path), auth="jwt", **settings)

    assert 1 == ended.returncode
    assert ended.stderr.startswith(f"offload-api: {sentence}")
    assert 1 == ended.stderr.count("\n")


def test_told_whom_to_believe_the_api_serves_any_address(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    with guarded("sqlite", request, tmp_path, host="0.0.0.0") as made:
        made.stack.start_api()
        url = f"http://127.0.0.1:{made.stack.port}/v1/jobs"
        assert [401, 200] == [httpx2.get(url, headers=by).status_code for by in ({}, made.issuer.headers())]
