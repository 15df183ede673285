"""Webhooks and callbacks over HTTP, on each kind of store, received by servers of the tests' own."""

import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from offload_shared.job import Failed, Failure, Succeeded, Usage
from offload_shared.keys import Scope
from offload_shared.store import leases
from tests.acceptance.stack import until
from tests.api import STORES, Api, api_on, problem
from tests.integration.test_api_jobs import UNKNOWN_ID
from tests.jobs import make_due
from tests.receiver import Receiver, receiving
from tests.servers.ports import free_ports

#: Servers of the tests are on this machine; and nobody waits for long.
SETTINGS = {"outbound_networks": "127.0.0.0/8", "webhook_retry_seconds": "0.1", "webhook_timeout_seconds": "60"}


@pytest.fixture(scope="module", params=STORES)
def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One API that asks for keys, on each kind of store; each test is a tenant of its own, see `mine`."""
    folder = tmp_path_factory.mktemp("api")
    with api_on(request.param, request, folder, auth="keys", max_webhooks="3", **SETTINGS) as running:
        yield running


@pytest.fixture(autouse=True)
def mine(request: pytest.FixtureRequest) -> None:
    """Let every request be sent by a tenant that is this test's alone."""
    if "api" in request.fixturenames:
        api: Api = request.getfixturevalue("api")
        name = f"{abs(hash(request.node.nodeid)):x}"
        api.http.headers.update(api.key(tenant=name))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as server:
        yield server


def add(api: Api, url: str, **members: Any) -> dict[str, Any]:
    answer = api.http.post("/v1/webhooks", json={"url": url, **members})
    assert 201 == answer.status_code, answer.text
    return dict(answer.json())


def shown(api: Api, webhook_id: str) -> dict[str, Any]:
    return dict(api.http.get(f"/v1/webhooks/{webhook_id}").raise_for_status().json())


def log(api: Api, webhook_id: str, **query: Any) -> list[dict[str, Any]]:
    answer = api.http.get(f"/v1/webhooks/{webhook_id}/deliveries", params=query)
    return list(answer.raise_for_status().json()["deliveries"])


def settled(api: Api, webhook_id: str, job_id: str, state: str = "delivered") -> dict[str, Any]:
    """Return the one delivery of a job's event, once it stands so."""

    def found() -> dict[str, Any] | None:
        [one] = log(api, webhook_id, job_id=job_id)
        return one if one["state"] == state else None

    delivery: dict[str, Any] = until(found, f"{state}: {log(api, webhook_id, job_id=job_id)}")
    return delivery


def ended(api: Api, **options: Any) -> str:
    """Submit a job and let it succeed."""
    job_id = str(api.submit(**options)["id"])
    api.succeed(job_id)
    return job_id


class TestEvents:
    def test_each_end_is_told_once_and_the_public_library_verifies_who_says_it(
        self, api: Api, receiver: Receiver
    ) -> None:
        secret = add(api, receiver.url())["secret"]
        succeeded, failed, cancelled = (api.submit(tags=["told"])["id"] for _ in range(3))

        api.succeed(succeeded, b'{"text":"done"}')
        api.end(failed, Failed(Failure.REJECTED, "no"))
        api.http.post(f"/v1/jobs/{cancelled}/cancel").raise_for_status()

        for job_id, state in ((succeeded, "succeeded"), (failed, "failed"), (cancelled, "cancelled")):
            [message] = receiver.of(job_id)
            said = message.verified(secret)
            job = api.job(job_id)
            assert (f"job.{state}", job["finished_at"]) == (said["type"], said["timestamp"])
            assert job == said["data"]["job"]
            assert ({"text": "done"} if state == "succeeded" else None) == said["data"]["result"]
            assert "application/json" == message.headers["content-type"]
            assert f"127.0.0.1:{receiver.port}" == message.headers["host"]
        assert 3 == len(receiver.messages)

    def test_a_webhook_is_told_of_nothing_but_its_events(self, api: Api, receiver: Receiver) -> None:
        with receiving() as other:
            failures = add(api, receiver.url(), events=["job.failed"])
            add(api, other.url(), events=["job.succeeded", "job.cancelled"])
            succeeded, failed = ended(api), api.submit()["id"]
            api.end(failed, Failed(Failure.REJECTED, "no"))

            assert [failed] == [
                message.verified(failures["secret"])["data"]["job"]["id"] for message in receiver.of(failed)
            ]
            other.of(succeeded)
            assert (1, 1) == (len(receiver.messages), len(other.messages))

    def test_a_callback_is_told_of_its_job_alone(self, api: Api, receiver: Receiver) -> None:
        secret = api.http.post("/v1/webhooks/callbacks/rotate").json()["secret"]

        job_id = ended(api, callback_url=receiver.url("/mine?token=1"))
        ended(api)

        [message] = receiver.of(job_id)
        assert "/mine?token=1" == message.path
        assert job_id == message.verified(secret)["data"]["job"]["id"]
        delivery = settled(api, "callbacks", job_id)
        assert (None, receiver.url("/mine?token=1"), 204) == (
            delivery["webhook_id"],
            delivery["url"],
            delivery["last_status"],
        )
        assert 1 == len(receiver.messages)

    def test_a_callback_is_signed_also_before_anybody_has_asked_for_the_secret(
        self, api: Api, receiver: Receiver
    ) -> None:
        receiver.answers.append(401)
        job_id = ended(api, callback_url=receiver.url())
        [message] = receiver.of(job_id)
        secret = api.http.post("/v1/webhooks/callbacks/rotate").json()["secret"]

        assert not message.is_verified(secret)
        assert receiver.of(job_id, 2)[1].is_verified(secret)

    def test_who_expires_and_who_is_lost_is_told_of_too(self, api: Api, receiver: Receiver) -> None:
        secret = add(api, receiver.url())["secret"]
        late = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
        expired = api.submit(deadline=late)["id"]
        lost = api.submit()["id"]
        for _ in range(3):
            make_due(api.database, lost)
            assert leases.claim(api.database, lost, worker="w", lease_seconds=0.01, tasks=[("echo", 1)])
            until(lambda: api.job(lost)["state"] != "running", "the sweeper")

        for job_id, problem_type in ((expired, "/problems/job-expired"), (lost, "/problems/job-lost")):
            said = receiver.of(job_id)[0].verified(secret)
            assert ("job.failed", problem_type) == (said["type"], said["data"]["job"]["error"]["type"])

    def test_a_running_job_that_is_cancelled_is_told_of_once_it_has_ended(self, api: Api, receiver: Receiver) -> None:
        add(api, receiver.url())
        job_id = api.submit()["id"]
        lease = api.start(job_id)
        assert 202 == api.http.post(f"/v1/jobs/{job_id}/cancel").status_code
        assert [] == receiver.messages

        api.finish(lease, Failed(Failure.ERROR, "ended"))

        assert f"{job_id}-cancelled" == receiver.of(job_id)[0].id

    def test_a_large_result_is_left_to_be_fetched(self, api: Api, receiver: Receiver) -> None:
        secret = add(api, receiver.url())["secret"]
        job_id = api.submit()["id"]
        api.succeed(job_id, b'{"text":"%s"}' % (b"x" * 20_000))

        said = receiver.of(job_id)[0].verified(secret)["data"]

        assert (None, f"/v1/jobs/{job_id}/result") == (said["result"], said["job"]["links"]["result"])

    def test_a_repeat_of_a_submit_or_of_an_end_makes_no_second_event(self, api: Api, receiver: Receiver) -> None:
        add(api, receiver.url())
        body = {"task": "echo", "payload": {}, "callback_url": receiver.url("/callback")}
        ids = {api.http.post("/v1/jobs", json=body, headers={"Idempotency-Key": "once"}).json()["id"] for _ in range(3)}
        [job_id] = ids
        lease = api.start(job_id)
        for _ in range(3):
            assert leases.finish(api.database, lease, Succeeded(b"{}"), Usage()) is not None

        receiver.of(job_id, 2)
        settled(api, "callbacks", job_id)
        assert 1 == len(log(api, "callbacks"))
        assert ["/callback", "/hook"] == sorted(message.path for message in receiver.messages)

    def test_a_job_may_go_as_soon_as_it_has_ended_and_is_told_of_all_the_same(
        self, api: Api, receiver: Receiver
    ) -> None:
        webhook = add(api, receiver.url())

        removed, short = ended(api), ended(api, result_ttl_seconds=0.001)
        assert 204 == api.http.delete(f"/v1/jobs/{removed}").status_code

        for job_id in (removed, short):
            assert job_id == receiver.of(job_id)[0].verified(webhook["secret"])["data"]["job"]["id"]
        until(lambda: api.http.get(f"/v1/jobs/{short}").status_code == 410, "the job's expiry")
        replayed = api.http.post(settled(api, webhook["id"], removed)["links"]["replay"])
        assert 202 == replayed.status_code
        assert receiver.of(removed, 2)[0].content == receiver.of(removed, 2)[1].content

    def test_a_job_that_runs_again_calls_back_again(self, api: Api, receiver: Receiver) -> None:
        job_id = ended(api, callback_url=receiver.url())

        again = api.http.post(f"/v1/jobs/{job_id}/retry").json()

        assert receiver.url() == again["callback_url"] == api.job(job_id)["callback_url"]
        api.succeed(again["id"])
        receiver.of(again["id"])

    def test_each_job_of_a_batch_has_its_own_callback(self, api: Api, receiver: Receiver) -> None:
        jobs = [{"task": "echo", "payload": {}, "callback_url": receiver.url(f"/{number}")} for number in range(3)]

        made = api.http.post("/v1/jobs:batch", json={"jobs": jobs}).json()["jobs"]

        for number, job in enumerate(made):
            api.succeed(job["id"])
            assert f"/{number}" == receiver.of(job["id"])[0].path


class TestDelivery:
    def test_what_fails_is_tried_again_with_the_same_id_until_it_is_taken(self, api: Api, receiver: Receiver) -> None:
        webhook = add(api, receiver.url())
        receiver.answers += [500, 302, 404]

        job_id = ended(api)

        messages = receiver.of(job_id, 4)
        delivery = settled(api, webhook["id"], job_id)
        assert 1 == len({(message.id, message.content) for message in messages})
        assert {"/hook"} == {message.path for message in messages}  # no redirect was followed
        assert all(message.is_verified(webhook["secret"]) for message in messages)
        assert (4, 204, None) == (delivery["attempts"], delivery["last_status"], delivery["last_error"])
        assert [500, 302, 404, 204] == [each["status"] for each in delivery["tries"]]
        assert "redirects are not followed" == delivery["tries"][1]["error"]
        assert delivery["finished_at"] is not None

    def test_a_server_that_is_not_there_yet_is_told_once_it_is(self, api: Api) -> None:
        [port] = free_ports(1)
        webhook = add(api, f"http://127.0.0.1:{port}/")
        job_id = ended(api)
        until(lambda: log(api, webhook["id"])[0]["last_error"], "a first attempt")

        with receiving(port) as server:
            server.of(job_id)
            delivery = settled(api, webhook["id"], job_id)

        assert delivery["attempts"] > 1
        assert (None, 204) == (delivery["tries"][0]["status"], delivery["last_status"])
        assert "no connection" in delivery["tries"][0]["error"]

    def test_a_server_that_hangs_holds_up_no_other(self, api: Api, receiver: Receiver) -> None:
        with receiving() as hanging:
            hanging.go_on.clear()
            add(api, hanging.url())
            add(api, receiver.url())

            ids = [ended(api, callback_url=receiver.url("/callback")) for _ in range(12)]

            for job_id in ids:
                receiver.of(job_id, 2)
            assert 0 < len(hanging.messages) <= 8

    def test_410_ends_a_webhook_until_it_is_enabled_again(self, api: Api, receiver: Receiver) -> None:
        webhook = add(api, receiver.url())
        receiver.answers.append(410)

        job_id = ended(api)

        delivery = settled(api, webhook["id"], job_id, "failed")
        assert (1, 410, None) == (delivery["attempts"], delivery["last_status"], delivery["due_at"])
        until(lambda: not shown(api, webhook["id"])["enabled"], "its end")
        refused = api.http.post(delivery["links"]["replay"])
        assert (409, "/problems/webhook-disabled") == (refused.status_code, problem(refused)["type"])
        ended(api)
        again = api.http.patch(f"/v1/webhooks/{webhook['id']}", json={"enabled": True}).json()
        assert (True, None) == (again["enabled"], again["disabled_at"])
        later = ended(api)
        receiver.of(later)
        assert {job_id, later} == {each["job_id"] for each in log(api, webhook["id"])}

    def test_a_replay_delivers_once_more(self, api: Api, receiver: Receiver) -> None:
        webhook = add(api, receiver.url())
        job_id = ended(api)
        delivery = settled(api, webhook["id"], job_id)

        answer = api.http.post(f"/v1/webhooks/{webhook['id']}/deliveries/{delivery['id']}/replay")

        assert (202, "pending", delivery["id"]) == (answer.status_code, answer.json()["state"], answer.json()["id"])
        first, second = receiver.of(job_id, 2)
        assert (first.id, first.content) == (second.id, second.content)
        assert 2 == settled(api, webhook["id"], job_id)["attempts"]

    def test_a_callback_can_be_replayed_too(self, api: Api, receiver: Receiver) -> None:
        job_id = ended(api, callback_url=receiver.url())

        api.http.post(settled(api, "callbacks", job_id)["links"]["replay"]).raise_for_status()

        receiver.of(job_id, 2)

    @pytest.mark.parametrize("store", STORES)
    def test_what_a_killed_process_was_sending_another_one_sends(
        self, store: str, request: pytest.FixtureRequest, tmp_path: Path, receiver: Receiver
    ) -> None:
        with api_on(store, request, tmp_path, **{**SETTINGS, "webhook_timeout_seconds": "1"}) as running:
            webhook = add(running, receiver.url())
            receiver.go_on.clear()
            job_id = ended(running)
            receiver.of(job_id)

            running.process.send(signal.SIGKILL)
            running.process.wait()
            receiver.go_on.set()

            with running.another() as other:
                messages = receiver.of(job_id, 2)
                path = f"/v1/webhooks/{webhook['id']}/deliveries"
                until(lambda: other.get(path).json()["deliveries"][0]["state"] == "delivered", "its delivery")
            assert 1 == len({(message.id, message.content) for message in messages})
            running.restart()

    @pytest.mark.parametrize("store", STORES)
    def test_two_processes_deliver_side_by_side_and_each_event_once(
        self, store: str, request: pytest.FixtureRequest, tmp_path: Path, receiver: Receiver
    ) -> None:
        with api_on(store, request, tmp_path, **SETTINGS) as running, running.another():
            add(running, receiver.url())

            ids = [ended(running) for _ in range(40)]

            for job_id in ids:
                receiver.of(job_id)
            assert 40 == len(receiver.messages)


class TestKeeping:
    def test_a_webhook_is_answered_201_with_a_secret_that_is_shown_this_once(self, api: Api) -> None:
        answer = api.http.post("/v1/webhooks", json={"url": "https://hooks.example/x", "name": "ü"})

        made = answer.json()
        assert (201, f"/v1/webhooks/{made['id']}") == (answer.status_code, answer.headers["location"])
        assert "no-store" == answer.headers["cache-control"]
        assert made["secret"].startswith("whsec_")
        assert ["job.succeeded", "job.failed", "job.cancelled"] == made["events"]
        expected = {name: value for name, value in made.items() if name != "secret"}
        assert expected == shown(api, made["id"])
        assert [expected] == api.http.get("/v1/webhooks").json()["webhooks"]
        etag = api.http.get(made["links"]["self"]).headers["etag"]
        assert 304 == api.http.get(made["links"]["self"], headers={"If-None-Match": etag}).status_code

    def test_a_patch_changes_what_it_names(self, api: Api) -> None:
        made = add(api, "https://hooks.example/x", name="before")
        path = made["links"]["self"]
        merge = {"Content-Type": "application/merge-patch+json"}

        changed = api.http.patch(
            path, json={"events": ["job.failed", "job.failed"], "name": None}, headers=merge
        ).json()

        assert (["job.failed"], None, made["url"], True) == tuple(
            changed[name] for name in ("events", "name", "url", "enabled")
        )
        disabled = api.http.patch(path, json={"enabled": False, "url": "https://other.example/"}).json()
        assert (False, "https://other.example/") == (disabled["enabled"], disabled["url"])
        assert disabled == shown(api, made["id"])

    def test_a_removed_webhook_is_told_of_nothing_and_is_not_there(self, api: Api, receiver: Receiver) -> None:
        made = add(api, receiver.url())
        path = made["links"]["self"]

        assert 204 == api.http.delete(path).status_code

        job_id = ended(api, callback_url=receiver.url("/callback"))
        assert ["/callback"] == [message.path for message in receiver.of(job_id)]
        for method in ("GET", "PATCH", "DELETE"):
            again = api.http.request(method, path, json={} if method == "PATCH" else None)
            assert (404, "/problems/not-found") == (again.status_code, problem(again)["type"])
        assert 404 == api.http.get(f"{path}/deliveries").status_code
        assert 404 == api.http.post(f"{path}/rotate").status_code

    def test_there_is_a_limit_of_them(self, api: Api) -> None:
        for _ in range(3):
            add(api, "https://hooks.example/x")

        answer = api.http.post("/v1/webhooks", json={"url": "https://hooks.example/x"})

        assert (409, "/problems/too-many-webhooks") == (answer.status_code, problem(answer)["type"])

    def test_lists_go_on_where_the_last_page_ended(self, api: Api, receiver: Receiver) -> None:
        made = add(api, receiver.url())
        other = add(api, "https://hooks.example/x", events=["job.failed"])
        ids = [ended(api) for _ in range(5)]

        first = api.http.get("/v1/webhooks", params={"page_size": 1})
        second = api.http.get(first.links["next"]["url"])
        found = [each["id"] for page in (first, second) for each in page.json()["webhooks"]]
        assert ([other["id"], made["id"]], None) == (found, second.json()["next_page_token"])
        for job_id in ids:
            settled(api, made["id"], job_id)
        page = api.http.get(f"{made['links']['self']}/deliveries", params={"page_size": 2, "state": "delivered"})
        told = [each["job_id"] for each in page.json()["deliveries"]]
        while link := page.links.get("next"):
            page = api.http.get(link["url"])
            told += [each["job_id"] for each in page.json()["deliveries"]]
        assert sorted(ids) == sorted(told)
        assert [] == log(api, made["id"], state="failed") == log(api, other["id"])

    @pytest.mark.parametrize("query", ["state=done", "job_id=x", "page_size=0", "page_token=x", "colour=red"])
    def test_a_query_that_makes_no_sense_is_refused(self, api: Api, query: str) -> None:
        answer = api.http.get(f"/v1/webhooks/callbacks/deliveries?{query}")

        assert (400, "/problems/malformed") == (answer.status_code, problem(answer)["type"])

    def test_for_a_while_after_a_rotation_both_secrets_have_signed(self, api: Api, receiver: Receiver) -> None:
        made = add(api, receiver.url())
        rotated = api.http.post(f"{made['links']['self']}/rotate").json()

        [message] = receiver.of(ended(api))

        assert made["secret"] != rotated["secret"]
        assert message.is_verified(made["secret"])
        assert message.is_verified(rotated["secret"])
        last = api.http.post(f"{made['links']['self']}/rotate", json={"overlap_seconds": 0}).json()
        [message] = receiver.of(ended(api))
        assert message.is_verified(last["secret"])
        assert not message.is_verified(rotated["secret"])
        assert not message.is_verified(made["secret"])

    def test_a_delivery_that_there_is_not_cannot_be_replayed(self, api: Api) -> None:
        made = add(api, "https://hooks.example/x")["id"]

        for path in (f"{made}/deliveries/{UNKNOWN_ID}", f"callbacks/deliveries/{UNKNOWN_ID}", f"{made}/deliveries/x"):
            answer = api.http.post(f"/v1/webhooks/{path}/replay")
            assert (404, "/problems/not-found") == (answer.status_code, problem(answer)["type"])


class TestWhoMay:
    def test_a_tenant_is_told_of_its_own_jobs_alone(self, api: Api, receiver: Receiver) -> None:
        with receiving() as theirs:
            made = add(api, receiver.url())
            other = api.key(tenant="another")
            api.http.post("/v1/webhooks", json={"url": theirs.url()}, headers=other).raise_for_status()
            foreign = api.http.post("/v1/jobs", json={"task": "echo", "payload": {}}, headers=other).json()["id"]
            api.succeed(foreign)
            own = ended(api)

            theirs.of(foreign)
            receiver.of(own)
            assert (1, 1) == (len(receiver.messages), len(theirs.messages))
            for path in ("", "/deliveries"):
                assert 404 == api.http.get(f"{made['links']['self']}{path}", headers=other).status_code
            delivery = settled(api, made["id"], own)["links"]["replay"]
            assert 404 == api.http.post(delivery, headers=other).status_code
            assert [] == api.http.get("/v1/webhooks/callbacks/deliveries", headers=other).json()["deliveries"]

    def test_webhooks_are_an_administrators_and_callbacks_anybodys_who_submits(self, api: Api) -> None:
        made = add(api, "https://hooks.example/x")["links"]["self"]
        client = api.key(Scope.SUBMIT, Scope.READ, Scope.CANCEL, tenant="clients")

        for method, path in (
            ("GET", "/v1/webhooks"),
            ("POST", "/v1/webhooks"),
            ("GET", made),
            ("PATCH", made),
            ("DELETE", made),
            ("POST", f"{made}/rotate"),
            ("POST", "/v1/webhooks/callbacks/rotate"),
            ("GET", f"{made}/deliveries"),
            ("POST", f"{made}/deliveries/{UNKNOWN_ID}/replay"),
        ):
            assert 403 == api.http.request(method, path, headers=client).status_code
        body = {"task": "echo", "payload": {}, "callback_url": "https://hooks.example/x"}
        assert 202 == api.http.post("/v1/jobs", json=body, headers=client).status_code

    def test_what_was_done_with_webhooks_is_in_the_audit_trail_without_a_secret(self, api: Api) -> None:
        made = add(api, "https://hooks.example/x")
        api.http.post(f"{made['links']['self']}/rotate").raise_for_status()

        def entries() -> list[Any]:
            found = api.http.get("/v1/audit", params={"target": made["id"]}).json()["entries"]
            return found if len(found) == 2 else []

        routes = [each["route"] for each in until(entries, "the trail")]
        assert ["/v1/webhooks/{webhook_id}/rotate", "/v1/webhooks"] == routes
        assert made["secret"] not in api.process.log.read_text()


REFUSED = {
    "no URL": ("x", "url"),
    "another scheme": ("ftp://hooks.example/", "url"),
    "a file": ("file:///etc/passwd", "url"),
    "a user": ("https://me:secret@hooks.example/", "url"),
    "no encryption, and public": ("http://93.184.216.34/", "url"),
    "inside": ("https://10.0.0.1/", "url"),
    "the cloud's own": ("http://169.254.169.254/latest/", "url"),
    "IPv6 with IPv4 in it": ("https://[::ffff:10.0.0.1]/", "url"),
    "any of this machine": ("https://[::]/", "url"),
    "a number": ("https://2130706433/", "url"),
    "a line feed": ("https://hooks.example/\nX: y", "url"),
    "too long": ("https://hooks.example/" + "x" * 2000, "url"),
    "not ASCII": ("https://hööks.example/", "url"),
    "none": (None, "url"),
}


@pytest.mark.parametrize("url", [url for url, _ in REFUSED.values()], ids=REFUSED.keys())
def test_a_url_that_is_not_to_be_called_is_refused_wherever_it_is_given(api: Api, url: Any) -> None:
    job = {"task": "echo", "payload": {}, "callback_url": url}
    webhook = add(api, "https://hooks.example/x")["links"]["self"]
    asked: list[tuple[str, httpx2.Response]] = [
        ("/url", api.http.post("/v1/webhooks", json={"url": url})),
        ("/url", api.http.patch(webhook, json={"url": url})),
    ]
    if url is not None:
        asked += [
            ("/callback_url", api.http.post("/v1/jobs", json=job)),
            ("/jobs/0/callback_url", api.http.post("/v1/jobs:batch", json={"jobs": [job]})),
            ("/job/callback_url", api.http.post("/v1/schedules", json={"job": job, "cron": "@yearly"})),
        ]

    for pointer, answer in asked:
        assert (422, "/problems/invalid") == (answer.status_code, problem(answer)["type"])
        assert [pointer] == [error["pointer"] for error in problem(answer)["errors"]]
    assert 1 == len(api.http.get("/v1/webhooks").json()["webhooks"])


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ([], [""]),
        ({}, ["/url"]),
        ({"url": "https://hooks.example/", "events": []}, ["/events"]),
        ({"url": "https://hooks.example/", "events": ["job.started"]}, ["/events/0"]),
        ({"url": "https://hooks.example/", "name": ""}, ["/name"]),
        ({"url": "https://hooks.example/", "name": "a\u0000"}, ["/name"]),
        ({"url": "https://hooks.example/", "secret": "whsec_mine"}, ["/secret"]),
        ({"url": 1, "events": "job.failed", "colour": "red"}, ["/colour", "/events", "/url"]),
    ],
)
def test_what_breaks_a_rule_is_422_with_an_entry_for_each_field(api: Api, body: Any, pointers: list[str]) -> None:
    answer = api.http.post("/v1/webhooks", json=body)

    assert (422, "/problems/invalid") == (answer.status_code, problem(answer)["type"])
    assert pointers == sorted(error["pointer"] for error in problem(answer)["errors"])


@pytest.mark.parametrize("store", STORES)
def test_nothing_inside_is_called_unless_the_operator_allows_it(
    store: str, request: pytest.FixtureRequest, tmp_path: Path, receiver: Receiver
) -> None:
    with api_on(store, request, tmp_path, webhook_retry_seconds="0.05", webhook_attempts="2") as running:
        for url in (receiver.url(), "http://public.example/"):
            answer = running.http.post("/v1/webhooks", json={"url": url})
            assert (422, "/url") == (answer.status_code, problem(answer)["errors"][0]["pointer"])
        webhook = add(running, f"https://localhost:{receiver.port}/")["id"]

        job_id = ended(running, callback_url=f"https://localhost.:{receiver.port}/")

        for name in (webhook, "callbacks"):
            delivery = settled(running, name, job_id, "failed")
            assert (2, None) == (delivery["attempts"], delivery["last_status"])
            assert "the URL leads to an address that is not public" == delivery["last_error"]
        assert [] == receiver.messages
