"""A job's events over HTTP, on each kind of store, through more than one API."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

from offload_api.routes.events import PING_SECONDS
from offload_shared.job import Failed, Failure, Progress
from offload_shared.store import leases
from tests.acceptance.stack import until
from tests.api import STORES, Api, api_on, problem
from tests.integration.test_api_jobs import UNKNOWN_ID


@pytest.fixture(scope="module", params=STORES)
def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One API on each kind of store."""
    with api_on(request.param, request, tmp_path_factory.mktemp("api")) as running:
        yield running


@pytest.fixture
def other(api: Api) -> Iterator[httpx2.Client]:
    """A client of another API process on the same store."""
    with api.another() as client:
        yield client


def read(lines: Iterator[str]) -> tuple[str, dict[str, Any]] | None:
    """Return the id and the job of the next event, or None at the end of the stream."""
    found: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(":")
            found[name] = value.strip()
        elif "data" in found:
            assert "job" == found["event"]
            return found["id"], dict(msgspec.json.decode(found["data"]))
    return None


def test_each_change_of_a_job_is_an_event_and_its_end_the_last(api: Api) -> None:
    job_id = api.submit()["id"]

    with api.http.stream("GET", f"/v1/jobs/{job_id}/events") as answer:
        assert "text/event-stream; charset=utf-8" == answer.headers["content-type"]
        lines = answer.iter_lines()
        states = [read(lines)]
        lease = api.start(job_id)
        states.append(read(lines))
        leases.report(api.database, {lease: Progress(40, "two of five")})
        states.append(read(lines))
        api.finish(lease, Failed(Failure.REJECTED, "no"))
        states.append(read(lines))
        assert read(lines) is None

    jobs = [job for _, job in filter(None, states)]
    assert ["queued", "running", "running", "failed"] == [job["state"] for job in jobs]
    assert {"percent": 40, "message": "two of five"} == jobs[2]["progress"]
    assert jobs[3] == api.job(job_id)
    assert 4 == len({event_id for event_id, _ in filter(None, states)})


def test_a_stream_goes_on_at_another_api_where_it_broke_off(api: Api, other: httpx2.Client) -> None:
    job_id = api.submit()["id"]
    with api.http.stream("GET", f"/v1/jobs/{job_id}/events") as answer:
        queued = read(answer.iter_lines())
    assert queued is not None

    with other.stream("GET", f"/v1/jobs/{job_id}/events", headers={"Last-Event-ID": queued[0]}) as answer:
        lines = answer.iter_lines()
        assert "retry: 1000" == next(lines)
        api.start(job_id)
        running = read(lines)

    assert running is not None
    assert "running" == running[1]["state"]


def test_after_the_end_there_is_the_end_alone_and_then_nothing(api: Api, other: httpx2.Client) -> None:
    job_id = api.submit()["id"]
    api.succeed(job_id)

    with other.stream("GET", f"/v1/jobs/{job_id}/events", headers={"Last-Event-ID": "1-queued"}) as answer:
        lines = answer.iter_lines()
        end = read(lines)
        assert read(lines) is None
    assert end is not None
    assert "succeeded" == end[1]["state"]

    again = other.get(f"/v1/jobs/{job_id}/events", headers={"Last-Event-ID": end[0]})
    assert (204, b"") == (again.status_code, again.content)
    assert "events" not in api.job(job_id)["links"]


def test_a_stream_without_news_says_that_it_is_still_here_and_goes_on(api: Api) -> None:
    job_id = api.submit()["id"]

    with api.http.stream("GET", f"/v1/jobs/{job_id}/events", timeout=4 * PING_SECONDS) as answer:
        lines = answer.iter_lines()
        read(lines)
        assert next(line for line in lines if line).startswith(":")
        api.start(job_id)
        after = read(lines)

    assert after is not None
    assert "running" == after[1]["state"]


def test_an_unknown_job_has_no_events(api: Api) -> None:
    answer = api.http.get(f"/v1/jobs/{UNKNOWN_ID}/events")

    assert 404 == answer.status_code
    assert "/problems/not-found" == problem(answer)["type"]


@pytest.mark.parametrize("store", STORES)
def test_too_many_streams_are_refused_until_one_is_closed(
    store: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    with api_on(store, request, tmp_path, max_streams="3", max_streams_per_client="2") as api:
        path = f"/v1/jobs/{api.submit()['id']}/events"
        with api.http.stream("GET", path) as first:
            kept = first.iter_lines()  # once it is forgotten, the stream is closed
            read(kept)
            with api.http.stream("GET", path) as second:
                kept_too = second.iter_lines()
                read(kept_too)
                refused = api.http.get(path)
                assert 429 == refused.status_code
                assert "/problems/too-many-streams" == problem(refused)["type"]
                assert refused.headers["retry-after"]

        def opens() -> bool:
            with api.http.stream("GET", path) as answer:
                return answer.status_code == 200

        until(opens, "a place for a stream")


@pytest.mark.parametrize("store", STORES)
def test_an_api_that_is_told_to_end_ends_with_its_streams(
    store: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    with (
        api_on(store, request, tmp_path) as api,
        api.http.stream("GET", f"/v1/jobs/{api.submit()['id']}/events") as answer,
    ):
        lines = answer.iter_lines()
        read(lines)
        api.process.end()
        assert read(lines) is None
