"""Jobs that go, and their files after them, over HTTP and on each kind of store."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update

from offload_shared.artifacts import Artifacts
from offload_shared.job import Failed, Failure, Released, StoredFile
from offload_shared.store import deletion, leftovers
from offload_shared.store.clock import clock
from offload_shared.store.leftovers import Uncollected
from offload_shared.store.schema import job
from tests.acceptance.stack import until
from tests.api import STORES, Api, api_on, problem
from tests.integration.test_api_jobs import UNKNOWN_ID

PATHS = ("", "/result", "/output", "/events", "/artifacts/note.txt")


@pytest.fixture(scope="module", params=STORES)
def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One API on each kind of store; no test minds the jobs of the others."""
    with api_on(request.param, request, tmp_path_factory.mktemp("api")) as running:
        yield running


def is_uncollected(api: Api, job_id: str) -> bool:
    return any(each.job_id == job_id for each in leftovers.uncollected(api.database))


def kept(api: Api, job_id: str, attempt: int) -> StoredFile:
    """Store a file as an attempt does before its end."""
    path = api.data / "note.txt"
    path.write_text("kept")
    with path.open("rb") as source:
        key = f"jobs/{job_id}/{attempt}/note.txt"
        artifacts = Artifacts((api.data / "artifacts").as_uri())
        return artifacts.store(key, source, name="note.txt", media_type="text/plain")


def succeeded(api: Api, **options: Any) -> str:
    """Run a job that leaves an artifact, as its attempt does; and something that an attempt before it has left."""
    job_id = str(api.submit(**options)["id"])
    stored = [kept(api, job_id, attempt) for attempt in (1, 2)]
    api.succeed(job_id, b'{"text":"done"}', stored[0])
    return job_id


def files_of(api: Api, job_id: str) -> int:
    return sum(job_id in str(path) for path in api.files())


def test_a_deleted_job_is_gone_with_all_it_left(api: Api) -> None:
    job_id = succeeded(api)
    assert 2 == files_of(api, job_id)

    answer = api.http.delete(f"/v1/jobs/{job_id}")

    assert (204, b"") == (answer.status_code, answer.content)
    assert [404] * len(PATHS) == [api.http.get(f"/v1/jobs/{job_id}{path}").status_code for path in PATHS]
    assert 404 == api.http.delete(f"/v1/jobs/{job_id}").status_code
    assert 404 == api.http.post(f"/v1/jobs/{job_id}/retry").status_code
    until(lambda: not files_of(api, job_id), "the end of its files")
    until(lambda: not is_uncollected(api, job_id), "its files to be known as gone")


def test_a_job_that_has_not_ended_is_not_deleted(api: Api) -> None:
    job_id = api.submit()["id"]

    answer = api.http.delete(f"/v1/jobs/{job_id}")

    assert (409, "/problems/job-not-finished") == (answer.status_code, problem(answer)["type"])
    assert "queued" == api.job(job_id)["state"]
    assert 404 == api.http.delete(f"/v1/jobs/{UNKNOWN_ID}").status_code


def test_what_an_attempt_left_that_died_is_removed_once_its_job_has_succeeded(api: Api) -> None:
    job_id = api.submit()["id"]
    lease = api.start(job_id)
    kept(api, job_id, 1)
    api.finish(lease, Released())  # as one that is lost: what it stored, no row names
    until(lambda: api.job(job_id)["state"] == "queued", "its next attempt")
    assert 1 == files_of(api, job_id)

    api.succeed(job_id, b'{"text":"done"}', kept(api, job_id, 2))

    until(lambda: 1 == files_of(api, job_id), "the end of the first attempt's file")
    assert "kept" == api.http.get(f"/v1/jobs/{job_id}/artifacts/note.txt").text
    until(lambda: not is_uncollected(api, job_id), "its files to be known as collected")
    assert 204 == api.http.delete(f"/v1/jobs/{job_id}").status_code
    until(lambda: not files_of(api, job_id), "the end of all its files")


@pytest.mark.parametrize("end", ["failed", "cancelled while it waits for its next attempt", "its deadline has passed"])
def test_nothing_stays_of_a_job_without_success(api: Api, end: str) -> None:
    job_id = api.submit(deadline=(datetime.now(UTC) + timedelta(days=1)).isoformat())["id"]
    lease = api.start(job_id)
    kept(api, job_id, 1)
    if end == "failed":
        api.finish(lease, Failed(Failure.REJECTED, "no"))
    else:
        api.finish(lease, Released())
    if end == "cancelled while it waits for its next attempt":
        api.http.post(f"/v1/jobs/{job_id}/cancel").raise_for_status()
    elif end == "its deadline has passed":
        overdue = update(job).where(job.c.id == job_id).values(deadline_at=clock(-1))
        api.database.write(lambda connection: connection.execute(overdue))

    until(lambda: not files_of(api, job_id), "the end of its files")
    until(lambda: not is_uncollected(api, job_id), "its files to be known as collected")
    assert 200 == api.http.get(f"/v1/jobs/{job_id}").status_code


def test_nothing_is_looked_for_of_a_job_that_has_not_ended(api: Api) -> None:
    job_id = api.submit()["id"]
    api.finish(api.start(job_id), Released())

    assert not is_uncollected(api, job_id)
    api.succeed(job_id, b'{"text":"done"}', kept(api, job_id, 2))
    assert "kept" == api.http.get(f"/v1/jobs/{job_id}/artifacts/note.txt").text


def test_nothing_is_looked_for_of_a_job_whose_only_attempt_has_succeeded(api: Api) -> None:
    job_id = succeeded(api)

    assert not is_uncollected(api, job_id)
    assert 2 == files_of(api, job_id)


def test_a_job_that_is_deleted_before_its_attempts_files_are_removed_goes_with_all_of_them(api: Api) -> None:
    job_id = api.submit()["id"]
    api.finish(api.start(job_id), Released())
    api.succeed(job_id, b'{"text":"done"}', kept(api, job_id, 2))
    deletion.delete_job(api.database, job_id)

    leftovers.note_collected(api.database, [Uncollected(job_id, gone=False, kept=2)])  # as one that looked before

    until(lambda: not files_of(api, job_id), "the end of all its files")


def test_the_key_of_a_deleted_job_is_free_again(api: Api) -> None:
    headers, body = {"Idempotency-Key": "deleted"}, {"task": "echo", "payload": {}}
    first = api.http.post("/v1/jobs", json=body, headers=headers).json()["id"]
    api.succeed(first)
    api.http.delete(f"/v1/jobs/{first}").raise_for_status()

    again = api.http.post("/v1/jobs", json=body, headers=headers)

    assert 202 == again.status_code
    assert first != again.json()["id"]


def test_a_job_that_is_kept_for_a_time_says_until_when(api: Api) -> None:
    job_id = succeeded(api, result_ttl_seconds=1000)

    shown = api.job(job_id)

    kept = datetime.fromisoformat(shown["expires_at"]) - datetime.fromisoformat(shown["finished_at"])
    assert 1000 == shown["result_ttl_seconds"] == pytest.approx(kept.total_seconds(), abs=1)
    assert api.submit(result_ttl_seconds=1000)["expires_at"] is None


def test_a_job_goes_by_itself_once_it_was_kept_for_as_long_as_was_asked_for(api: Api) -> None:
    job_id = succeeded(api, result_ttl_seconds=0.01)

    until(lambda: 410 == api.http.get(f"/v1/jobs/{job_id}").status_code, "its end")

    answers = [api.http.get(f"/v1/jobs/{job_id}{path}") for path in PATHS]
    assert [410] * len(PATHS) == [answer.status_code for answer in answers]
    assert {"/problems/expired"} == {problem(answer)["type"] for answer in answers}
    assert 410 == api.http.post(f"/v1/jobs/{job_id}/cancel").status_code
    assert 410 == api.http.delete(f"/v1/jobs/{job_id}").status_code
    until(lambda: not files_of(api, job_id), "the end of its files")


@pytest.mark.parametrize("end", ["cancelled", "expired deadline"])
def test_any_other_end_is_kept_no_longer_either(api: Api, end: str) -> None:
    late: dict[str, Any] = {"deadline": datetime.now(UTC).isoformat()} if end == "expired deadline" else {}
    job_id = api.submit(result_ttl_seconds=0.01, **late)["id"]
    if end == "cancelled":
        api.http.post(f"/v1/jobs/{job_id}/cancel")

    until(lambda: 410 == api.http.get(f"/v1/jobs/{job_id}").status_code, "its end")
