"""Tenants kept apart: what is another's is answered as what is not there, at every address."""

import threading
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from offload_api.openapi.paths import PATHS
from offload_shared.artifacts import Artifacts
from offload_shared.keys import Scope
from offload_shared.store import api_keys, deletion, files
from tests.acceptance.stack import until
from tests.api import STORES, Api, Headers, api_on, problem
from tests.integration.test_api_jobs import UNKNOWN_ID
from tests.integration.test_api_schedules import make_due
from tests.jobs import added

ECHO: dict[str, Any] = {"task": "echo", "payload": {"text": "mine"}}
#: Every address of something that belongs to a tenant.
OWNED = [(method, path) for path, item in PATHS.items() if "_id}" in path for method in item]


@pytest.fixture(scope="module", params=STORES)
def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One API that asks for keys, on each kind of store."""
    with api_on(request.param, request, tmp_path_factory.mktemp("api"), auth="keys") as running:
        yield running


@pytest.fixture(scope="module")
def mine(api: Api) -> Headers:
    return api.key(tenant="a")


@pytest.fixture(scope="module")
def theirs(api: Api) -> Headers:
    return api.key(tenant="b")


def submit(api: Api, by: Headers, **options: Any) -> httpx2.Response:
    return api.http.post("/v1/jobs", json={**ECHO, **options}, headers=by)


@pytest.fixture(scope="module")
def owned(api: Api, mine: Headers) -> dict[str, str]:
    """What a path's parameters name: things of the first tenant, a job with all that a job can leave."""
    job_id = str(submit(api, mine).json()["id"])
    path = api.data / "note.txt"
    path.write_text("secret")
    with path.open("rb") as source:
        kept = Artifacts((api.data / "artifacts").as_uri())
        stored = kept.store(f"jobs/{job_id}/1/note.txt", source, name="note.txt", media_type="text/plain")
    api.succeed(job_id, b'{"text":"secret"}', stored)
    key, _ = api_keys.create(api.database, tenant="a", name="", scopes=[])
    uploaded = api.http.post("/v1/files", content=b"secret", headers=mine).json()["id"]
    schedule = {"job": ECHO, "cron": "0 0 1 1 *", "name": "secret"}
    scheduled = api.http.post("/v1/schedules", json=schedule, headers=mine).json()["id"]
    later = {"jobs": {"only": ECHO}, "delay_seconds": 86_400}
    flow = api.http.post("/v1/flows", json=later, headers=mine).json()["id"]
    # Nobody has this name: the delivery stays, to be tried again.
    hook = api.http.post("/v1/webhooks", json={"url": "https://hooks.invalid/"}, headers=mine).json()["id"]
    api.succeed(str(submit(api, mine).json()["id"]))
    log = api.http.get(f"/v1/webhooks/{hook}/deliveries", headers=mine).json()["deliveries"]
    ids = {"job_id": job_id, "file_id": uploaded, "key_id": key.id, "schedule_id": scheduled, "flow_id": flow}
    ids |= {"webhook_id": hook, "delivery_id": log[0]["id"]}
    return {**ids, "name": "note.txt"}


def asked(api: Api, method: str, path: str, by: Headers) -> tuple[int, bytes, dict[str, str]]:
    answer = api.http.request(method, path, json={} if method == "patch" else None, headers=by)
    return answer.status_code, answer.content, {k: v for k, v in answer.headers.items() if k != "date"}


@pytest.mark.parametrize(("method", "path"), OWNED)
def test_what_is_anothers_is_answered_as_what_is_not_there(
    api: Api, owned: dict[str, str], theirs: Headers, method: str, path: str
) -> None:
    unknown = {name: UNKNOWN_ID if name.endswith("_id") else value for name, value in owned.items()}

    others, nobodys = (asked(api, method, path.format(**ids), theirs) for ids in (owned, unknown))

    assert 404 == others[0]
    assert nobodys == others


@pytest.mark.parametrize("path", [path for method, path in OWNED if method == "get"])
def test_its_owner_is_answered(api: Api, owned: dict[str, str], mine: Headers, path: str) -> None:
    assert 200 == api.http.get(path.format(**owned), headers=mine).status_code


def test_a_job_reads_no_file_of_another_tenant(api: Api, owned: dict[str, str]) -> None:
    assert files.get_file(api.database, owned["file_id"], tenant="a")
    assert files.get_file(api.database, owned["file_id"], tenant="b") is None


def test_what_is_anothers_is_left_as_it_is(api: Api, mine: Headers, theirs: Headers) -> None:
    queued = submit(api, mine).json()["id"]

    for method, path in OWNED:
        if method in ("post", "delete") and "job_id" in path:
            assert 404 == api.http.request(method, path.format(job_id=queued), headers=theirs).status_code

    assert "queued" == api.http.get(f"/v1/jobs/{queued}", headers=mine).json()["state"]


def test_a_list_has_the_jobs_of_ones_own_alone(api: Api, mine: Headers, theirs: Headers) -> None:
    made = [submit(api, by, tags=["listed"]).json()["id"] for by in (mine, theirs, mine)]

    def listed(by: Headers) -> list[str]:
        answer = api.http.get("/v1/jobs", params={"tag": "listed"}, headers=by)
        return [job["id"] for job in answer.json()["jobs"]]

    assert [made[2], made[0]] == listed(mine)
    assert [made[1]] == listed(theirs)
    assert [] == listed(api.key(tenant=""))


def test_a_page_token_is_of_no_use_to_another(api: Api, mine: Headers, theirs: Headers) -> None:
    for _ in range(2):
        submit(api, mine, tags=["paged"])
    query: dict[str, Any] = {"tag": "paged", "page_size": 1}
    token = api.http.get("/v1/jobs", params=query, headers=mine).json()["next_page_token"]

    assert 400 == api.http.get("/v1/jobs", params={**query, "page_token": token}, headers=theirs).status_code


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/jobs:batch", "/v1/flows"])
def test_an_idempotency_key_is_each_tenants_own(api: Api, mine: Headers, theirs: Headers, path: str) -> None:
    key = {"Idempotency-Key": f"same for {path}"}
    body = {"/v1/jobs": ECHO, "/v1/jobs:batch": {"jobs": [ECHO]}, "/v1/flows": {"jobs": {"only": ECHO}}}[path]

    answers = [api.http.post(path, json=body, headers={**by, **key}) for by in (mine, theirs, mine, theirs)]

    ids = [(body["jobs"][0] if path.endswith("batch") else body)["id"] for body in (each.json() for each in answers)]
    assert [202] * 4 == [answer.status_code for answer in answers]
    assert ids[:2] == ids[2:]
    assert ids[0] != ids[1]


def test_a_schedule_and_the_jobs_that_it_makes_are_its_tenants_own(api: Api, mine: Headers, theirs: Headers) -> None:
    body = {"job": ECHO, "cron": "0 0 1 1 *", "name": "own"}
    key = {"Idempotency-Key": "own"}
    made = [api.http.post("/v1/schedules", json=body, headers={**by, **key}).json()["id"] for by in (mine, theirs)]
    make_due(api.database, made)

    def jobs_of(schedule_id: str, by: Headers) -> list[str]:
        answer = api.http.get("/v1/jobs", params={"schedule_id": schedule_id}, headers=by)
        return [job["id"] for job in answer.json()["jobs"]]

    [job_id] = until(lambda: jobs_of(made[0], mine), "its job")
    assert [] == jobs_of(made[0], theirs)
    assert made[0] != made[1]
    assert 404 == api.http.get(f"/v1/jobs/{job_id}", headers=theirs).status_code
    for by, own in ((mine, made[0]), (theirs, made[1])):
        listed = api.http.get("/v1/schedules", params={"name": "own"}, headers=by).json()["schedules"]
        assert [own] == [each["id"] for each in listed]


def test_the_page_token_of_schedules_is_of_no_use_to_another(api: Api, mine: Headers, theirs: Headers) -> None:
    for _ in range(2):
        api.http.post("/v1/schedules", json={"job": ECHO, "cron": "@yearly", "name": "paged"}, headers=mine)
    query: dict[str, Any] = {"name": "paged", "page_size": 1}
    token = api.http.get("/v1/schedules", params=query, headers=mine).json()["next_page_token"]

    assert 400 == api.http.get("/v1/schedules", params={**query, "page_token": token}, headers=theirs).status_code


def test_what_serves_all_tenants_is_no_tenants_to_see_or_change(api: Api, theirs: Headers) -> None:
    for method, path in (("get", "/v1/queues"), ("post", "/v1/queues/io/pause"), ("get", "/v1/workers")):
        answer = api.http.request(method, path, headers=theirs)
        assert (403, "/problems/forbidden") == (answer.status_code, problem(answer)["type"])
        assert 200 == api.http.request(method, path, headers=api.key(Scope.ADMIN)).status_code
    api.http.post("/v1/queues/io/resume", headers=api.key(Scope.ADMIN)).raise_for_status()


def test_an_idempotency_key_finds_no_retry_of_anothers(api: Api, owned: dict[str, str], theirs: Headers) -> None:
    path, key = f"/v1/jobs/{owned['job_id']}/retry", {"Idempotency-Key": "retried"}
    api.http.post(path, headers={**api.key(tenant="a"), **key}).raise_for_status()

    assert 404 == api.http.post(path, headers={**theirs, **key}).status_code


def test_an_expired_job_is_gone_to_its_owner_and_unknown_to_others(api: Api, mine: Headers, theirs: Headers) -> None:
    job_id = submit(api, mine, result_ttl_seconds=0.01).json()["id"]
    api.succeed(job_id)
    until(lambda: deletion.has_expired(api.database, job_id, tenant="a"), "its end")

    assert 410 == api.http.get(f"/v1/jobs/{job_id}", headers=mine).status_code
    other = api.http.get(f"/v1/jobs/{job_id}", headers=theirs)
    assert (404, "/problems/not-found") == (other.status_code, problem(other)["type"])


def test_requests_that_share_a_statement_keep_to_their_tenants(api: Api, mine: Headers, theirs: Headers) -> None:
    made: dict[str, list[str]] = {"a": [], "b": []}

    def submit_some(tenant: str, by: Headers) -> None:
        made[tenant] += [submit(api, by).json()["id"] for _ in range(10)]

    threads = [threading.Thread(target=submit_some, args=each) for each in (("a", mine), ("b", theirs)) for _ in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    for tenant, by in (("a", mine), ("b", theirs)):
        assert 20 == len(set(made[tenant]))
        assert {200} == {api.http.get(f"/v1/jobs/{each}", headers=by).status_code for each in made[tenant]}


def test_who_may_not_see_a_job_cannot_wait_for_it(api: Api, mine: Headers, theirs: Headers) -> None:
    job_id = submit(api, mine).json()["id"]

    for path in ("", "/result", "/output"):
        answer = api.http.get(f"/v1/jobs/{job_id}{path}", headers={**theirs, "Prefer": "wait=30"})
        assert 404 == answer.status_code


def test_what_was_made_without_keys_belongs_to_the_default_tenant(api: Api, theirs: Headers) -> None:
    job_id = added(api.database, task="echo", queue="io")

    assert 200 == api.http.get(f"/v1/jobs/{job_id}", headers=api.key()).status_code
    assert 404 == api.http.get(f"/v1/jobs/{job_id}", headers=theirs).status_code
