"""Recurring schedules over HTTP, on each kind of store."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import func, select, update

from offload_api.scheduler import Scheduler
from offload_api.schedules import Schedules
from offload_api.settings import ApiSettings
from offload_api.submissions import Submissions
from offload_shared.store.clock import clock
from offload_shared.store.database import Database
from offload_shared.store.schedules import add_schedule
from offload_shared.store.schema import job as job_table
from offload_shared.store.schema import schedule as schedule_table
from offload_shared.tasks import registry
from tests.acceptance.stack import gone, until
from tests.api import STORES, Api, api_on, problem
from tests.integration.test_api_jobs import UNKNOWN_ID

ECHO = {"task": "echo", "payload": {"text": "again"}}
NEVER_DUE = "0 0 1 1 *"
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module", params=STORES)
def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One API on each kind of store; no test minds the schedules of the others."""
    with api_on(request.param, request, tmp_path_factory.mktemp("api")) as running:
        yield running


def body(**members: Any) -> dict[str, Any]:
    return {"job": ECHO, "cron": NEVER_DUE, **members}


def add(api: Api, **members: Any) -> dict[str, Any]:
    answer = api.http.post("/v1/schedules", json=body(**members))
    assert 201 == answer.status_code, answer.text
    return dict(answer.json())


def shown(api: Api, schedule_id: str) -> dict[str, Any]:
    return dict(api.http.get(f"/v1/schedules/{schedule_id}").raise_for_status().json())


def change(api: Api, schedule_id: str, patch: Any) -> httpx2.Response:
    headers = {"Content-Type": "application/merge-patch+json"}
    return api.http.request("PATCH", f"/v1/schedules/{schedule_id}", json=patch, headers=headers)


def jobs_of(api: Api, schedule_id: str) -> list[dict[str, Any]]:
    return list(api.http.get("/v1/jobs", params={"schedule_id": schedule_id}).raise_for_status().json()["jobs"])


def make_due(database: Database, ids: list[str], seconds_ago: float = 5) -> None:
    """Let the next time of these schedules have come, for all at once."""
    change = update(schedule_table).where(schedule_table.c.id.in_(ids)).values(next_run_at=clock(-seconds_ago))
    database.write(lambda connection: connection.execute(change))


def are_due(database: Database, ids: list[str]) -> int:
    due = (schedule_table.c.next_run_at <= clock()) & schedule_table.c.id.in_(ids)
    statement = select(func.count()).select_from(schedule_table).where(due)
    return int(database.read(lambda connection: connection.execute(statement).scalar_one()))


def jobs_by_schedule(database: Database) -> dict[str, list[datetime]]:
    statement = select(job_table.c.schedule_id, job_table.c.run_at).where(job_table.c.schedule_id.is_not(None))
    found = dict[str, list[datetime]]()
    for row in database.read(lambda connection: connection.execute(statement).all()):
        found.setdefault(row.schedule_id, []).append(row.run_at)
    return found


class TestKeeping:
    def test_an_added_schedule_is_answered_201_with_its_address_and_its_next_time(self, api: Api) -> None:
        whole = body(cron="30 7 1 1 *", timezone="Europe/Berlin", missed="run_once", name="New Year")

        answer = api.http.post("/v1/schedules", json=whole)

        made = answer.json()
        assert 201 == answer.status_code
        assert f"/v1/schedules/{made['id']}" == answer.headers["location"] == made["links"]["self"]
        assert whole == {name: made[name] for name in whole}
        assert (False, None, None, None) == (made["paused"], made["last_run_at"], made["last_job_id"], made["error"])
        following = datetime.fromisoformat(made["next_run_at"])
        assert (1, 1, 6, 30) == (following.month, following.day, following.hour, following.minute)
        assert following > datetime.now(UTC)
        assert made == shown(api, made["id"])

    def test_what_is_not_said_is_left_to_the_defaults(self, api: Api) -> None:
        made = add(api, cron="@hourly")

        assert ("UTC", "skip", False, None) == (made["timezone"], made["missed"], made["paused"], made["name"])
        assert ECHO == made["job"]

    def test_the_etag_answers_304_until_the_schedule_changes(self, api: Api) -> None:
        path = f"/v1/schedules/{add(api)['id']}"
        etag = api.http.get(path).headers["etag"]

        assert 304 == api.http.get(path, headers={"If-None-Match": etag}).status_code
        api.http.patch(path, json={"name": "other"}).raise_for_status()
        assert 200 == api.http.get(path, headers={"If-None-Match": etag}).status_code

    def test_head_is_get_without_its_body(self, api: Api) -> None:
        for path in (f"/v1/schedules/{add(api)['id']}", "/v1/schedules?page_size=1"):
            head, get = api.http.head(path), api.http.get(path)

            assert (200, b"", get.headers["content-length"]) == (
                head.status_code,
                head.content,
                head.headers["content-length"],
            )

    def test_concurrent_repeats_of_a_key_make_one_schedule(self, api: Api) -> None:
        def post(_: int) -> httpx2.Response:
            return api.http.post("/v1/schedules", json=body(name="once"), headers={"Idempotency-Key": "once"})

        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(post, range(16)))

        assert {201} == {answer.status_code for answer in answers}
        assert 1 == len({answer.json()["id"] for answer in answers})
        assert 15 == sum(answer.headers.get("idempotency-replayed") == "true" for answer in answers)
        other = api.http.post("/v1/schedules", json=body(name="two"), headers={"Idempotency-Key": "once"})
        assert (422, "/problems/idempotency-key-reused") == (other.status_code, problem(other)["type"])

    def test_a_removed_schedule_is_gone_and_its_jobs_are_not(self, api: Api) -> None:
        made = add(api)["id"]
        make_due(api.database, [made])
        [job] = until(lambda: jobs_of(api, made), "its job")

        answer = api.http.delete(f"/v1/schedules/{made}")

        assert (204, b"") == (answer.status_code, answer.content)
        assert made == api.job(job["id"])["schedule_id"]
        for method in ("GET", "PATCH", "DELETE"):
            again = api.http.request(method, f"/v1/schedules/{made}", json={} if method == "PATCH" else None)
            assert (404, "/problems/not-found") == (again.status_code, problem(again)["type"])


class TestLists:
    def test_pages_go_on_where_the_last_ended(self, api: Api) -> None:
        ids = [add(api, name="paged")["id"] for _ in range(5)]

        answer = api.http.get("/v1/schedules", params={"name": "paged", "page_size": 2}).raise_for_status()
        found = [[each["id"] for each in answer.json()["schedules"]]]
        while link := answer.links.get("next"):
            add(api, name="paged")
            answer = api.http.get(link["url"]).raise_for_status()
            found.append([each["id"] for each in answer.json()["schedules"]])

        assert [2, 2, 1] == [len(page) for page in found]
        assert ids[::-1] == [each for page in found for each in page]
        assert answer.json()["next_page_token"] is None

    def test_each_filter_leaves_out_what_it_does_not_fit(self, api: Api) -> None:
        going = add(api, name="filtered: ü")["id"]
        paused = add(api, name="filtered: ü", paused=True)["id"]

        def only(**query: Any) -> list[str]:
            answer = api.http.get("/v1/schedules", params={"name": "filtered: ü", **query})
            return [each["id"] for each in answer.json()["schedules"]]

        assert [paused, going] == only()
        assert [paused] == only(paused="true")
        assert [going] == only(paused="false")

    @pytest.mark.parametrize("query", ["paused=maybe", "name=", "name=%00", "page_size=0", "state=queued", "paused="])
    def test_a_query_that_makes_no_sense_is_refused(self, api: Api, query: str) -> None:
        answer = api.http.get(f"/v1/schedules?{query}")

        assert (400, "/problems/malformed") == (answer.status_code, problem(answer)["type"])

    def test_a_token_of_a_list_of_jobs_is_refused(self, api: Api) -> None:
        for _ in range(2):
            api.submit(tags=["token"])
        token = api.http.get("/v1/jobs", params={"tag": "token", "page_size": 1}).json()["next_page_token"]

        assert 400 == api.http.get("/v1/schedules", params={"page_token": token}).status_code

    def test_jobs_are_not_listed_by_what_is_no_id(self, api: Api) -> None:
        assert 400 == api.http.get("/v1/jobs?schedule_id=x").status_code
        assert [] == jobs_of(api, UNKNOWN_ID)


class TestChanging:
    def test_a_patch_changes_what_it_names_and_keeps_the_rest(self, api: Api) -> None:
        job = {**ECHO, "priority": 4, "tags": ["a"]}
        made = add(api, job=job, name="before", missed="run_once")

        answer = change(api, made["id"], {"name": "after", "job": {"payload": {"delay_seconds": 1}, "priority": None}})

        changed = answer.json()
        assert 200 == answer.status_code
        assert {"task": "echo", "payload": {"text": "again", "delay_seconds": 1}, "tags": ["a"]} == changed["job"]
        assert ("after", "run_once", NEVER_DUE) == (changed["name"], changed["missed"], changed["cron"])
        assert made["next_run_at"] == changed["next_run_at"]
        assert changed == shown(api, made["id"])

    def test_null_takes_a_member_away(self, api: Api) -> None:
        made = add(api, name="named", timezone="Asia/Tokyo")["id"]

        changed = change(api, made, {"name": None, "timezone": None}).json()

        assert (None, "UTC") == (changed["name"], changed["timezone"])
        refused = change(api, made, {"cron": None})
        assert (422, ["/cron"]) == (refused.status_code, [each["pointer"] for each in problem(refused)["errors"]])

    def test_plain_json_is_taken_for_a_patch_too_and_nothing_else_is(self, api: Api) -> None:
        path = f"/v1/schedules/{add(api)['id']}"

        assert 200 == api.http.patch(path, json={"paused": True}).status_code
        answer = api.http.patch(path, content=b"{}", headers={"Content-Type": "application/json-patch+json"})
        assert (415, "/problems/unsupported-media-type") == (answer.status_code, problem(answer)["type"])

    def test_another_cron_begins_from_now(self, api: Api) -> None:
        made = add(api)

        hourly = change(api, made["id"], {"cron": "@hourly"}).json()

        assert made["next_run_at"] != hourly["next_run_at"]
        ahead = datetime.fromisoformat(hourly["next_run_at"]) - datetime.now(UTC)
        assert ahead.total_seconds() < 3700

    def test_a_paused_schedule_has_no_next_time_and_makes_no_job(self, api: Api) -> None:
        paused, other = add(api)["id"], add(api)["id"]
        assert change(api, paused, {"paused": True}).json()["next_run_at"] is None

        make_due(api.database, [paused, other])
        until(lambda: jobs_of(api, other), "the other's job")
        assert [] == jobs_of(api, paused)

        change(api, paused, {"paused": False}).raise_for_status()
        until(lambda: jobs_of(api, paused), "its job: the time has only just come")

    @pytest.mark.parametrize(
        ("patch", "pointers"),
        [
            ([], [""]),
            ({"id": UNKNOWN_ID, "colour": None}, ["/colour", "/id"]),
            ({"next_run_at": "2030-01-01T00:00:00Z"}, ["/next_run_at"]),
            ({"cron": "0 0 30 2 *", "timezone": "Mars/Olympus"}, ["/cron", "/timezone"]),
            ({"job": {"payload": {"colour": 1}, "priority": 10}}, ["/job/payload/colour", "/job/priority"]),
            ({"job": {"task": "gone"}}, ["/job/task"]),
            ({"job": None}, ["/job"]),
            ({"name": "a\u0000"}, ["/name"]),
        ],
    )
    def test_a_patch_that_makes_no_sound_schedule_changes_nothing(
        self, api: Api, patch: Any, pointers: list[str]
    ) -> None:
        made = add(api)

        answer = change(api, made["id"], patch)

        assert (422, "/problems/invalid") == (answer.status_code, problem(answer)["type"])
        assert pointers == sorted(error["pointer"] for error in problem(answer)["errors"])
        assert made == shown(api, made["id"])

    def test_concurrent_patches_of_different_members_are_all_kept(self, api: Api) -> None:
        made = add(api)["id"]
        patches: list[Any] = [
            {"name": "a"},
            {"missed": "run_once"},
            {"job": {"priority": 3}},
            {"job": {"tags": ["t"]}},
            {"timezone": "Asia/Tokyo"},
        ]

        with ThreadPoolExecutor(5) as threads:
            answers = list(threads.map(lambda patch: change(api, made, patch).status_code, patches))

        found = shown(api, made)
        assert [200] * 5 == answers
        assert ("a", "run_once", "Asia/Tokyo") == (found["name"], found["missed"], found["timezone"])
        assert (3, ["t"]) == (found["job"]["priority"], found["job"]["tags"])


INVALID: dict[str, tuple[Any, list[str]]] = {
    "array": ([], [""]),
    "null": (None, [""]),
    "nothing": ({}, ["/cron", "/job"]),
    "a cron that is no text": (body(cron=5), ["/cron"]),
    "an empty cron": (body(cron=""), ["/cron"]),
    "four fields": (body(cron="* * * *"), ["/cron"]),
    "seconds": (body(cron="* * * * * *"), ["/cron"]),
    "a minute that is none": (body(cron="60 * * * *"), ["/cron"]),
    "a nickname that is none": (body(cron="@reboot"), ["/cron"]),
    "a cron too long": (body(cron="0," * 60 + "0 * * * *"), ["/cron"]),
    "the 30th of February": (body(cron="0 0 30 2 *"), ["/cron"]),
    "days that never meet": (body(cron="0 0 */31 * MON#5"), ["/cron"]),
    "an unknown zone": (body(timezone="Mars/Olympus"), ["/timezone"]),
    "a zone that is a path": (body(timezone="../etc/passwd"), ["/timezone"]),
    "a zone that is no text": (body(timezone=1), ["/timezone"]),
    "no zone": (body(timezone=None), ["/timezone"]),
    "an unknown way to miss": (body(missed="later"), ["/missed"]),
    "paused by a word": (body(paused="yes"), ["/paused"]),
    "an empty name": (body(name=""), ["/name"]),
    "a name too long": (body(name="x" * 101), ["/name"]),
    "a control character": (body(job={"task": "echo", "payload": {"text": "\u0000"}}), ["/job/payload/text"]),
    "an unknown field": (body(colour="red"), ["/colour"]),
    "what only we can say": (body(next_run_at="2030-01-01T00:00:00Z"), ["/next_run_at"]),
    "a job that is none": (body(job=5), ["/job"]),
    "no task": (body(job={"payload": {}}), ["/job/task"]),
    "an unknown task": (body(job={"task": "gone", "payload": {}}), ["/job/task"]),
    "a time of the job's own": (body(job={**ECHO, "run_at": "2030-01-01T00:00:00Z"}), ["/job/run_at"]),
    "a delay": (body(job={**ECHO, "delay_seconds": 1}), ["/job/delay_seconds"]),
    "a deadline": (body(job={**ECHO, "deadline": "2030-01-01T00:00:00Z"}), ["/job/deadline"]),
    "a bad payload": (body(job={"task": "echo", "payload": {"text": 1}}), ["/job/payload/text"]),
    "more than the operator allows": (body(job={**ECHO, "timeout_seconds": 1e9}), ["/job/timeout_seconds"]),
    "too many tags": (body(job={**ECHO, "tags": ["x"] * 21}), ["/job/tags"]),
    "many at once": (
        body(cron=1, colour=2, job={"task": "echo", "payload": {"colour": 1}, "priority": 10}),
        ["/colour", "/cron", "/job/payload/colour", "/job/priority"],
    ),
    "both times": (body(cron="x * * * *", timezone="x"), ["/cron", "/timezone"]),
}


@pytest.mark.parametrize(("value", "pointers"), INVALID.values(), ids=INVALID.keys())
def test_what_breaks_a_rule_is_422_with_an_entry_for_each_field(api: Api, value: Any, pointers: list[str]) -> None:
    answer = api.http.post("/v1/schedules", content=json.dumps(value), headers=JSON)

    assert (422, "/problems/invalid") == (answer.status_code, problem(answer)["type"])
    assert pointers == sorted(error["pointer"] for error in problem(answer)["errors"])


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"{", JSON, 400),
        (b"\xff", JSON, 400),
        (b'{"job": {"priority": 1e999}}', JSON, 400),
        (b"[" * 100, JSON, 400),
        (b"{}", {"Content-Type": "text/plain"}, 415),
        (b"{}", {**JSON, "Content-Encoding": "gzip"}, 415),
        (b" " * 1_100_000, JSON, 413),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_body_that_cannot_be_read_is_refused_as_any_other(
    api: Api, method: str, content: bytes, headers: dict[str, str], status: int
) -> None:
    path = "/v1/schedules" if method == "POST" else f"/v1/schedules/{add(api)['id']}"

    answer = api.http.request(method, path, content=content, headers=headers)

    assert status == problem(answer)["status"] == answer.status_code


def test_an_unusable_key_is_400(api: Api) -> None:
    answer = api.http.post("/v1/schedules", json=body(), headers={"Idempotency-Key": "x" * 256})

    assert (400, "/problems/malformed") == (answer.status_code, problem(answer)["type"])


@pytest.mark.parametrize("name", ["x", "0" * 31, "0" * 33, "%00", "..%2f"])
def test_what_can_be_no_id_is_404(api: Api, name: str) -> None:
    assert 404 == api.http.get(f"/v1/schedules/{name}").status_code


@pytest.mark.parametrize("store", STORES)
def test_more_schedules_than_are_kept_are_refused(store: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    with api_on(store, request, tmp_path, max_schedules="2") as api:
        first = api.http.post("/v1/schedules", json=body(), headers={"Idempotency-Key": "k"}).json()["id"]
        add(api)

        answer = api.http.post("/v1/schedules", json=body())
        again = api.http.post("/v1/schedules", json=body(), headers={"Idempotency-Key": "k"})

        assert (409, "/problems/too-many-schedules") == (answer.status_code, problem(answer)["type"])
        assert (201, first) == (again.status_code, again.json()["id"])
        api.http.delete(f"/v1/schedules/{first}").raise_for_status()
        add(api)


class TestRunning:
    def test_a_job_of_a_schedule_names_it_and_is_as_the_schedule_says(self, api: Api) -> None:
        job = {**ECHO, "priority": 6, "timeout_seconds": 9, "tags": ["nightly"], "result_ttl_seconds": 1000}
        made = add(api, job=job)["id"]
        make_due(api.database, [made])

        [listed] = until(lambda: jobs_of(api, made), "its job")

        found, schedule = api.job(listed["id"]), shown(api, made)
        assert (made, f"/v1/schedules/{made}") == (found["schedule_id"], found["links"]["schedule"])
        assert (6, 9, ["nightly"], 1000) == (
            found["priority"],
            found["timeout_seconds"],
            found["tags"],
            found["result_ttl_seconds"],
        )
        assert (found["id"], found["run_at"]) == (schedule["last_job_id"], schedule["last_run_at"])
        assert f"/v1/jobs/{found['id']}" == schedule["links"]["last_job"]
        assert datetime.fromisoformat(schedule["next_run_at"]) > datetime.now(UTC)
        assert [listed["id"]] == [each["id"] for each in api.http.get(schedule["links"]["jobs"]).json()["jobs"]]
        api.succeed(found["id"])
        assert "succeeded" == api.job(found["id"])["state"]
        again = api.http.post(f"/v1/jobs/{found['id']}/retry").json()
        assert (found["id"], None) == (again["parent_id"], again["schedule_id"])

    def test_no_client_can_take_the_key_of_a_time(self, api: Api) -> None:
        made = add(api)["id"]
        key = f"schedule {made}"
        api.http.post("/v1/jobs", json=ECHO, headers={"Idempotency-Key": key}).raise_for_status()

        make_due(api.database, [made])

        [job] = until(lambda: jobs_of(api, made), "its job")
        held = select(job_table.c.idempotency_key).where(job_table.c.id == job["id"])
        assert "\n" in api.database.read(lambda connection: connection.execute(held).scalar_one())

    def test_a_task_that_has_gone_is_told_and_holds_up_no_other(self, api: Api) -> None:
        lost, other = add(api)["id"], add(api)["id"]
        gone_task = update(schedule_table).where(schedule_table.c.id == lost)
        values = {"job": '{"task": "gone", "payload": {}}'}
        api.database.write(lambda connection: connection.execute(gone_task.values(values)))

        make_due(api.database, [lost, other])

        until(lambda: jobs_of(api, other), "the other's job")
        found = until(lambda: (now := shown(api, lost))["error"] and now, "its error")
        assert "/problems/unknown-task" == found["error"]["type"]
        assert datetime.fromisoformat(found["next_run_at"]) > datetime.now(UTC)
        assert [] == jobs_of(api, lost)
        assert change(api, lost, {"job": ECHO}).json()["error"] is None

    def test_two_apis_make_each_job_of_many_schedules_once(self, api: Api) -> None:
        ids = [add(api, cron=NEVER_DUE)["id"] for _ in range(150)]
        with api.another():
            for turn in range(1, 4):
                make_due(api.database, ids)
                until(lambda: not are_due(api.database, ids), "the turns of all schedules")
                found = jobs_by_schedule(api.database)
                assert {turn} == {len(set(found[each])) for each in ids} == {len(found[each]) for each in ids}


SCHEDULERS = 6


def test_however_many_take_turns_at_once_each_time_has_one_job(store_url: str, database: Database) -> None:
    allowed = ApiSettings()
    made = Schedules(Submissions(registry(), allowed), allowed)
    ids = [_stored(database, made) for _ in range(120)]
    others = [Database(store_url, connections=1) for _ in range(SCHEDULERS)]

    for turn in range(1, 4):
        make_due(database, ids)
        with ThreadPoolExecutor(SCHEDULERS) as threads:
            taken = sum(threads.map(lambda other: Scheduler(other, made).step(), others))
        # Who finds the rest taken by others goes, and who took them takes all: none is left.
        assert (len(ids), 0) == (taken, are_due(database, ids))
        assert {turn} == {len(times) for times in jobs_by_schedule(database).values()}
    for other in others:
        other.dispose()


def _stored(database: Database, made: Schedules) -> str:
    new = made.decode(b'{"job": {"task": "echo", "payload": {}}, "cron": "0 0 1 1 *"}', None)
    added = add_schedule(database, new, first_run_at=lambda now: now, most=1000)
    assert added is not None
    return added.schedule.id


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize(
    ("point", "action"),
    [
        ("fire_due.inside", "kill"),
        ("fire_due.committed", "kill"),
        ("fire_due.inside", "raise"),
        ("fire_due.committed", "raise"),
        ("fire_due.inside", "lose"),
        ("fire_due.committed", "lose"),
    ],
)
def test_whatever_becomes_of_a_turn_each_time_has_one_job(
    store: str, point: str, action: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    points = tmp_path / "failpoints"
    points.mkdir()
    with api_on(store, request, tmp_path, failpoints=str(points)) as api:
        ids = [add(api)["id"] for _ in range(20)]
        (points / "new.fired").write_text(action)
        (points / "new.fired").rename(points / point)
        make_due(api.database, ids)
        fired = points / f"{point}.fired"
        until(lambda: fired.exists() and len(fired.read_text().split()) == 2, "the failpoint")
        if action == "kill":
            until(lambda: gone(api.process.pid), "the end of the API")
            api.process.wait()
            api.restart()

        until(lambda: not are_due(api.database, ids), "the turns of all schedules")

        found = jobs_by_schedule(api.database)
        assert {1} == {len(found[each]) for each in ids}
        assert set(ids) == set(found)


@pytest.mark.parametrize("store", STORES)
def test_times_that_came_while_no_api_ran_are_seen_to_after_the_restart(
    store: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    with api_on(store, request, tmp_path) as api:
        late, skipped, once = add(api)["id"], add(api)["id"], add(api, missed="run_once")["id"]
        api.process.kill()
        make_due(api.database, [late], seconds_ago=5)
        make_due(api.database, [skipped, once], seconds_ago=7200)

        api.restart()

        until(lambda: not are_due(api.database, [late, skipped, once]), "their turns")
        assert [1, 0, 1] == [len(jobs_of(api, each)) for each in (late, skipped, once)]


@pytest.mark.parametrize("store", STORES)
def test_a_job_of_a_schedule_runs_to_its_end(store: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    with api_on(store, request, tmp_path) as api:
        api.start_worker()
        made = add(api)["id"]
        make_due(api.database, [made])

        until(lambda: [each["state"] for each in jobs_of(api, made)] == ["succeeded"], "the end of its job")


def test_without_its_store_nothing_is_told_of_schedules(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    servers = request.getfixturevalue("servers")
    with api_on("postgresql+rabbitmq", request, tmp_path) as api:
        made = add(api)["id"]
        with servers.postgresql.down():
            answers = [
                api.http.post("/v1/schedules", json=body()),
                api.http.get("/v1/schedules"),
                api.http.get(f"/v1/schedules/{made}"),
                api.http.patch(f"/v1/schedules/{made}", json={}),
                api.http.delete(f"/v1/schedules/{made}"),
            ]
        assert [(503, "/problems/unavailable")] * 5 == [(a.status_code, problem(a)["type"]) for a in answers]
        make_due(api.database, [made])
        until(lambda: jobs_of(api, made), "its job, now that the store is back")
