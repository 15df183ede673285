"""API keys over HTTP and from the command line: who gets in, and who may do what."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from offload_api.key_commands import PAGE
from offload_shared.keys import Scope
from offload_shared.store import api_keys
from tests.acceptance.stack import until
from tests.api import STORES, Api, Headers, api_on, problem, running_api
from tests.integration.test_api_jobs import UNKNOWN_ID

ECHO: dict[str, Any] = {"task": "echo", "payload": {}}


@pytest.fixture(scope="module", params=STORES)
def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One API that asks for keys, on each kind of store."""
    with api_on(request.param, request, tmp_path_factory.mktemp("api"), auth="keys") as running:
        yield running


@pytest.fixture(scope="module")
def admin(api: Api) -> Headers:
    """A key of the default tenant that allows all."""
    return api.key()


def make(api: Api, by: Headers, **body: Any) -> httpx2.Response:
    return api.http.post("/v1/keys", json={"scopes": ["read"], **body}, headers=by)


def bearer(key: str) -> Headers:
    return {"Authorization": f"Bearer {key}"}


class TestAuthentication:
    @pytest.mark.parametrize("headers", [{}, {"Authorization": "Basic eDp5"}, bearer("ofl_1_2")])
    def test_without_a_key_nothing_is_served_but_health_and_the_document(self, api: Api, headers: Headers) -> None:
        for method, path in (("GET", "/v1/jobs"), ("POST", "/v1/jobs"), ("GET", f"/v1/jobs/{UNKNOWN_ID}")):
            answer = api.http.request(method, path, headers=headers)
            assert (401, "/problems/unauthenticated") == (answer.status_code, problem(answer)["type"])
            assert answer.headers["www-authenticate"].startswith("Bearer")

        for path in ("/", "/health/live", "/health/ready", "/schema/openapi.json"):
            assert 200 == api.http.get(path, headers=headers).status_code

    def test_a_key_gets_in(self, api: Api) -> None:
        assert 200 == api.http.get("/v1/jobs", headers=api.key(Scope.READ)).status_code

    def test_an_expired_key_does_not(self, api: Api) -> None:
        assert 401 == api.http.get("/v1/jobs", headers=api.key(expires_in_seconds=-1)).status_code

    @pytest.mark.parametrize(
        ("method", "path", "scope"),
        [
            ("POST", "/v1/jobs", "submit"),
            ("POST", "/v1/jobs:batch", "submit"),
            ("POST", "/v1/files", "submit"),
            ("POST", f"/v1/jobs/{UNKNOWN_ID}/retry", "submit"),
            ("GET", "/v1/jobs", "read"),
            ("GET", f"/v1/jobs/{UNKNOWN_ID}/events", "read"),
            ("GET", "/v1/tasks", "read"),
            ("POST", f"/v1/jobs/{UNKNOWN_ID}/cancel", "cancel"),
            ("DELETE", f"/v1/jobs/{UNKNOWN_ID}", "cancel"),
            ("GET", "/v1/keys", "admin"),
        ],
    )
    def test_a_key_without_the_scope_is_told_which_it_lacks(self, api: Api, method: str, path: str, scope: str) -> None:
        others = [each for each in Scope if each != scope]

        answer = api.http.request(method, path, headers=api.key(*others))

        assert (403, "/problems/forbidden") == (answer.status_code, problem(answer)["type"])
        assert f"`{scope}`" in problem(answer)["detail"]
        assert f'Bearer error="insufficient_scope", scope="{scope}"' == answer.headers["www-authenticate"]


class TestKeys:
    def test_a_made_key_is_shown_once_and_works(self, api: Api, admin: Headers) -> None:
        answer = make(api, admin, tenant="acme", name="ci", scopes=["submit", "read"])

        made = answer.json()
        assert (201, "no-store") == (answer.status_code, answer.headers["cache-control"])
        assert made["key"].startswith(f"ofl_{made['id']}_")
        assert ("acme", "ci", ["read", "submit"]) == (made["tenant"], made["name"], made["scopes"])
        assert 202 == api.http.post("/v1/jobs", json=ECHO, headers=bearer(made["key"])).status_code
        listed = api.http.get("/v1/keys", headers=admin)
        [found] = [key for key in listed.json()["keys"] if key["id"] == made["id"]]
        assert found == {name: value for name, value in made.items() if name != "key"}
        assert made["key"] not in listed.text

    def test_keys_are_listed_a_page_at_a_time_and_none_of_anothers(self, api: Api, admin: Headers) -> None:
        theirs, other = api.key(Scope.ADMIN, tenant="paged"), api.key(Scope.ADMIN, tenant="other")
        made = [make(api, theirs).json()["id"] for _ in range(4)]
        listed: list[str] = []

        address: str | None = "/v1/keys?page_size=2"
        sizes = []
        while address:
            answer = api.http.get(address, headers=theirs).raise_for_status()
            assert "no-store" == answer.headers["cache-control"]
            sizes.append(len(answer.json()["keys"]))
            listed += [key["id"] for key in answer.json()["keys"]]
            address = answer.links.get("next", {}).get("url")
        assert None is answer.json()["next_page_token"]

        assert [2, 2, 1] == sizes
        assert sorted([*made, theirs["Authorization"].split("_")[1]], reverse=True) == listed
        token = api.http.get("/v1/keys?page_size=2", headers=theirs).json()["next_page_token"]
        for by in (other, admin):
            assert 400 == api.http.get("/v1/keys", params={"page_token": token}, headers=by).status_code

    @pytest.mark.parametrize("query", ["page_size=0", "page_size=201", "page_token=x", "tenant=a"])
    def test_a_query_of_the_list_that_makes_no_sense_is_refused(self, api: Api, admin: Headers, query: str) -> None:
        answer = api.http.get(f"/v1/keys?{query}", headers=admin)

        assert (400, "/problems/malformed") == (answer.status_code, problem(answer)["type"])

    def test_a_revoked_key_is_refused_everywhere_soon(self, api: Api, admin: Headers) -> None:
        made = make(api, admin).json()
        with api.another() as other:
            assert 200 == api.http.get("/v1/jobs", headers=bearer(made["key"])).status_code
            assert 200 == other.get("/v1/jobs", headers=bearer(made["key"])).status_code

            for _ in range(2):
                assert 204 == api.http.delete(f"/v1/keys/{made['id']}", headers=admin).status_code

            assert 401 == api.http.get("/v1/jobs", headers=bearer(made["key"])).status_code
            until(lambda: 401 == other.get("/v1/jobs", headers=bearer(made["key"])).status_code, "the key's end")

    def test_a_stream_ends_when_its_key_is_revoked(self, api: Api, admin: Headers) -> None:
        made = make(api, admin).json()
        job_id = api.http.post("/v1/jobs", json=ECHO, headers=admin).json()["id"]
        with api.http.stream("GET", f"/v1/jobs/{job_id}/events", headers=bearer(made["key"])) as stream:
            lines = stream.iter_lines()
            until(lambda: next(lines).startswith("data:"), "the first event")
            api.http.delete(f"/v1/keys/{made['id']}", headers=admin).raise_for_status()
            api.start(job_id)

            assert not [line for line in lines if line.startswith("data:")]

    def test_a_rotated_key_overlaps_with_its_last_secret(self, api: Api, admin: Headers) -> None:
        made = make(api, admin).json()

        answer = api.http.post(f"/v1/keys/{made['id']}/rotate", headers=admin)

        rotated = answer.json()
        assert (200, made["id"]) == (answer.status_code, rotated["id"])
        assert rotated["previous_until"] is not None
        for key in (made["key"], rotated["key"]):
            assert 200 == api.http.get("/v1/jobs", headers=bearer(key)).status_code

        last = api.http.post(f"/v1/keys/{made['id']}/rotate", json={"overlap_seconds": 0}, headers=admin).json()
        for key, status in ((made["key"], 401), (rotated["key"], 401), (last["key"], 200)):
            assert status == api.http.get("/v1/jobs", headers=bearer(key)).status_code

    @pytest.mark.parametrize(
        ("body", "pointer"),
        [
            ({"scopes": []}, "/scopes"),
            ({"scopes": ["root"]}, "/scopes/0"),
            ({"tenant": "a b"}, "/tenant"),
            ({"tenant": "acme\n"}, "/tenant"),
            ({"name": "x\nforged"}, "/name"),
            ({"expires_in_seconds": 0}, "/expires_in_seconds"),
            ({"name": "x" * 101}, "/name"),
            ({"name": "\u0000"}, "/name"),
            ({"colour": "red"}, "/colour"),
        ],
    )
    def test_a_key_that_makes_no_sense_is_refused(
        self, api: Api, admin: Headers, body: dict[str, Any], pointer: str
    ) -> None:
        answer = make(api, admin, **body)

        assert 422 == answer.status_code
        assert [pointer] == [error["pointer"] for error in problem(answer)["errors"]]

    def test_unknown_keys_are_404(self, api: Api, admin: Headers) -> None:
        for key_id in (UNKNOWN_ID, "x"):
            assert 404 == api.http.delete(f"/v1/keys/{key_id}", headers=admin).status_code
            assert 404 == api.http.post(f"/v1/keys/{key_id}/rotate", headers=admin).status_code

    def test_an_administrator_of_a_tenant_makes_and_sees_its_keys_alone(self, api: Api, admin: Headers) -> None:
        theirs = api.key(Scope.ADMIN, tenant="b1")
        foreign = make(api, admin, tenant="b2").json()["id"]

        mine = make(api, theirs)
        refused = make(api, theirs, tenant="b2")

        assert (201, "b1") == (mine.status_code, mine.json()["tenant"])
        assert (403, "/problems/forbidden") == (refused.status_code, problem(refused)["type"])
        listed = [key["tenant"] for key in api.http.get("/v1/keys", headers=theirs).json()["keys"]]
        assert ["b1", "b1"] == listed
        assert 404 == api.http.delete(f"/v1/keys/{foreign}", headers=theirs).status_code


def command(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OFFLOAD_")}
    environment |= {f"OFFLOAD_{name.upper()}": value for name, value in settings.items()}
    binary = Path(sys.executable).with_name("offload-api")
    return subprocess.run(
        [binary, *arguments], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


class TestCommands:
    def test_the_first_key_comes_from_the_command_line_alone_on_standard_output(self, api: Api) -> None:
        store = api.database.url.render_as_string(hide_password=False)

        made = command("keys", "create", "--scope", "read", "--scope", "submit", "--tenant", "cli", store_url=store)

        assert 0 == made.returncode, made.stderr
        [key] = made.stdout.splitlines()
        assert 200 == api.http.get("/v1/jobs", headers=bearer(key)).status_code
        assert key not in made.stderr
        [listed] = command("keys", "list", "--tenant", "cli", store_url=store).stdout.splitlines()[1:]
        assert ["cli", "-", "read,submit"] == listed.split()[1:4]
        assert listed.endswith("good")

    def test_the_command_line_lists_every_key_however_many_there_are(self, api: Api) -> None:
        ids = [api_keys.create(api.database, tenant="many", name="", scopes=[])[0].id for _ in range(PAGE + 1)]

        ended = command(
            "keys", "list", "--tenant", "many", store_url=api.database.url.render_as_string(hide_password=False)
        )

        assert sorted(ids, reverse=True) == [line.split()[0] for line in ended.stdout.splitlines()[1:]]

    def test_a_key_is_rotated_and_revoked_from_the_command_line(self, api: Api) -> None:
        store = api.database.url.render_as_string(hide_password=False)
        key, first = api_keys.create(api.database, tenant="cli2", name="", scopes=[Scope.READ])

        rotated = command("keys", "rotate", key.id, "--overlap-seconds", "0", store_url=store).stdout.strip()

        assert 401 == api.http.get("/v1/jobs", headers=bearer(first)).status_code
        assert 0 == command("keys", "revoke", key.id, store_url=store).returncode
        assert "revoked" in command("keys", "list", "--tenant", "cli2", store_url=store).stdout
        assert rotated.startswith(f"ofl_{key.id}_")

    def test_what_is_not_there_is_said_in_a_sentence(self, tmp_path: Path) -> None:
        for arguments in (("rotate", "x"), ("revoke", "x")):
            ended = command("keys", *arguments, data_dir=str(tmp_path))
            assert 1 == ended.returncode
            assert ended.stderr.startswith("offload-api: there is no key 'x'")

    @pytest.mark.parametrize("name", ["create", "list", "rotate", "revoke"])
    def test_help_explains_each_command_and_option(self, name: str) -> None:
        ended = command("keys", name, "--help")

        assert 0 == ended.returncode
        assert "--help" in ended.stdout


class TestAddresses:
    def test_without_keys_the_api_serves_its_own_machine_alone(self, tmp_path: Path) -> None:
        for host in ("0.0.0.0", "::"):
            ended = command("--host", host, "--port", "0", data_dir=str(tmp_path))
            assert 1 == ended.returncode
            expected = f"offload-api: will not serve everybody who reaches {host}: set OFFLOAD_AUTH=keys"
            assert ended.stderr.startswith(expected), ended.stderr
            assert 1 == ended.stderr.count("\n")

    def test_an_unknown_way_to_authenticate_is_named_with_those_there_are(self, tmp_path: Path) -> None:
        ended = command(data_dir=str(tmp_path), auth="none")

        assert ended.stderr.startswith("offload-api: OFFLOAD_AUTH is 'none': expected one of loopback, keys, open")

    @pytest.mark.parametrize("auth", ["keys", "open"])
    def test_told_how_it_serves_any_address(self, tmp_path: Path, auth: str) -> None:
        with running_api(tmp_path, auth=auth, host="0.0.0.0") as running:
            expected = 401 if auth == "keys" else 200
            assert expected == httpx2.get(f"http://127.0.0.1:{running.port}/v1/jobs").status_code
