"""The audit trail over HTTP, on each kind of store: who asked for what, and what came of it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from offload_shared.ids import new_id
from offload_shared.keys import Scope
from offload_shared.store import audits
from offload_shared.store.audits import WantedRecords
from tests.acceptance.stack import until
from tests.api import STORES, Api, Headers, api_on, problem
from tests.integration.test_api_jobs import UNKNOWN_ID

ECHO = {"task": "echo", "payload": {}}


@pytest.fixture(scope="module", params=STORES)
def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One API that asks for keys, on each kind of store."""
    with api_on(request.param, request, tmp_path_factory.mktemp("api"), auth="keys") as running:
        yield running


def key_id(headers: Headers) -> str:
    return headers["Authorization"].split("_")[1]


def entries(api: Api, by: Headers, number: int, **query: Any) -> list[dict[str, Any]]:
    """Return the trail, the oldest first, once it has so many entries."""

    def look() -> tuple[list[dict[str, Any]]] | None:
        answer = api.http.get("/v1/audit", params=query, headers=by).raise_for_status()
        found: list[dict[str, Any]] = answer.json()["entries"]
        return (found,) if len(found) == number else None

    [found] = until(look, f"{number} entries")
    return list(reversed(found))


def told(entry: dict[str, Any]) -> tuple[str, str | None, int]:
    return f"{entry['method']} {entry['route']}", entry["target"], entry["status"]


def test_whatever_was_to_change_something_is_recorded_with_who_asked_and_what_came_of_it(api: Api) -> None:
    mine, admin = api.key(tenant="trail"), api.key(Scope.ADMIN, tenant="trail")
    job_id = api.http.post("/v1/jobs", json=ECHO, headers=mine).json()["id"]
    api.http.get(f"/v1/jobs/{job_id}", headers=mine).raise_for_status()
    api.http.post(f"/v1/jobs/{job_id}/cancel", headers=mine)
    again = api.http.post(f"/v1/jobs/{job_id}/retry", headers=mine).json()["id"]
    api.http.delete(f"/v1/jobs/{job_id}", headers=mine)
    api.http.delete(f"/v1/jobs/{UNKNOWN_ID}", headers=mine)
    uploaded = api.http.post("/v1/files", content=b"x", headers=mine).json()["id"]
    made = api.http.post("/v1/keys", json={"scopes": ["read"]}, headers=mine).json()["id"]
    api.http.post("/v1/jobs", json=ECHO, headers=admin)

    found = entries(api, admin, 8)

    assert [
        ("POST /v1/jobs", job_id, 202),
        ("POST /v1/jobs/{job_id}/cancel", job_id, 200),
        ("POST /v1/jobs/{job_id}/retry", again, 202),
        ("DELETE /v1/jobs/{job_id}", job_id, 204),
        ("DELETE /v1/jobs/{job_id}", UNKNOWN_ID, 404),
        ("POST /v1/files", uploaded, 201),
        ("POST /v1/keys", made, 201),
        ("POST /v1/jobs", None, 403),
    ] == [told(entry) for entry in found]
    assert [key_id(mine)] * 7 + [key_id(admin)] == [entry["key_id"] for entry in found]
    assert {("trail", "127.0.0.1")} == {(entry["tenant"], entry["address"]) for entry in found}


@pytest.mark.parametrize("made_up", ["x" * 4000, "%00", "%F0%9F%98%80", "a%20b"])
def test_what_a_client_makes_up_is_recorded_without_it(api: Api, made_up: str) -> None:
    mine = api.key(tenant=f"up{len(made_up)}")

    api.http.post(f"/v1/jobs/{made_up}/cancel", headers=mine)

    [entry] = entries(api, mine, 1)
    assert ("POST /v1/jobs/{job_id}/cancel", None, 404) == told(entry)


def test_a_batch_has_an_entry_for_each_job(api: Api) -> None:
    mine = api.key(tenant="batch")
    made = api.http.post("/v1/jobs:batch", json={"jobs": [ECHO] * 3}, headers=mine).json()["jobs"]

    found = entries(api, mine, 3)

    assert {job["id"] for job in made} == {entry["target"] for entry in found}
    assert {("POST", "/v1/jobs:batch", 202)} == {(each["method"], each["route"], each["status"]) for each in found}


def test_a_repeated_batch_has_one_entry(api: Api) -> None:
    mine = api.key(tenant="batch-again")
    sent: dict[str, Any] = {"json": {"jobs": [ECHO] * 3}, "headers": {**mine, "Idempotency-Key": "again"}}
    made = [job["id"] for job in api.http.post("/v1/jobs:batch", **sent).json()["jobs"]]
    assert "true" == api.http.post("/v1/jobs:batch", **sent).headers["idempotency-replayed"]

    found = entries(api, mine, 4)

    assert sorted(made) + made[:1] == [*sorted(each["target"] for each in found[:3]), found[3]["target"]]


def test_the_trail_is_filtered_and_paged(api: Api) -> None:
    mine, other = api.key(tenant="pages"), api.key(tenant="pages")
    ids = [api.http.post("/v1/jobs", json=ECHO, headers=by).json()["id"] for by in (mine, mine, other)]
    entries(api, mine, 3)

    assert [ids[1]] == [each["target"] for each in entries(api, mine, 1, target=ids[1])]
    assert [ids[2]] == [each["target"] for each in entries(api, mine, 1, key_id=key_id(other))]
    first = api.http.get("/v1/audit", params={"page_size": 2}, headers=mine)
    rest = api.http.get(first.links["next"]["url"], headers=mine).json()
    assert [ids[2], ids[1]] == [each["target"] for each in first.json()["entries"]]
    assert ([ids[0]], None) == ([each["target"] for each in rest["entries"]], rest["next_page_token"])


@pytest.mark.parametrize("query", ["target=%00", "key_id=x", "page_size=0", "page_token=1", "colour=red"])
def test_a_query_that_makes_no_sense_is_refused(api: Api, query: str) -> None:
    answer = api.http.get(f"/v1/audit?{query}", headers=api.key())

    assert (400, "/problems/malformed") == (answer.status_code, problem(answer)["type"])


def test_a_tenant_reads_its_own_trail_and_the_operator_every_tenants(api: Api) -> None:
    job_id = api.http.post("/v1/jobs", json=ECHO, headers=api.key(tenant="c")).json()["id"]

    assert [job_id] == [entry["target"] for entry in entries(api, api.key(), 1, target=job_id)]
    assert [] == entries(api, api.key(tenant="d"), 0, target=job_id)
    assert 403 == api.http.get("/v1/audit", headers=api.key(Scope.READ)).status_code


def test_the_log_has_it_as_a_line_of_json(api: Api) -> None:
    mine = api.key(tenant="log")
    job_id = api.http.post("/v1/jobs", json=ECHO, headers=mine).json()["id"]

    [line] = [line for line in api.process.log.read_text().splitlines() if job_id in line and "offload.audit" in line]

    body = json.loads(line[line.index("{") :])
    assert ("log", key_id(mine), [job_id], 202) == (body["tenant"], body["key_id"], body["targets"], body["status"])
    assert mine["Authorization"].split()[1] not in api.process.log.read_text()


def test_old_entries_are_forgotten(api: Api) -> None:
    [kept] = audits.page(api.database, WantedRecords(tenant=None), size=1)
    old = audits.AuditRecord(
        **{name: getattr(kept, name) for name in kept.__struct_fields__ if name != "id"}, id="0" * 12 + new_id()[12:]
    )
    audits.add(api.database, [old, old])

    assert 1 == audits.forget(api.database, days=90)
    assert 0 == audits.forget(api.database, days=90)
    assert [kept] == audits.page(api.database, WantedRecords(tenant=None), size=1)
