"""`fetch-urls` against a server that answers well, badly, slowly or not at all."""

import asyncio
import hashlib
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from offload_shared.tasks.fetch_urls import FetchedRow, FetchUrls, FetchUrlsResult
from offload_testing.job import FakeJob
from offload_worker.handlers.fetch_urls import fetch_urls
from offload_worker.handlers.fetching import fetcher
from tests.web import Web, serving


@pytest.fixture(scope="module")
def running() -> Iterator[Web]:
    with serving() as web:
        yield web


@pytest.fixture
def web(running: Web, monkeypatch: pytest.MonkeyPatch) -> Web:
    monkeypatch.setenv("OFFLOAD_OUTBOUND_NETWORKS", "127.0.0.0/8")
    monkeypatch.setattr(fetcher, "FIRST_PAUSE_SECONDS", 0.01)
    running.asked.clear()
    running.heads.clear()
    running.most_busy.clear()
    return running


def fetch(job: FakeJob, urls: list[str], **wishes: Any) -> FetchUrlsResult:
    payload = msgspec.json.decode(json.dumps({"urls": urls, **wishes}), type=FetchUrls)
    return asyncio.run(fetch_urls(payload, job))


def only(folder: Path, url: str, **wishes: Any) -> FetchedRow:
    result = fetch(FakeJob(folder), [url], **{"retries": 0, **wishes})
    assert result.rows
    return result.rows[0]


def test_pages_are_fetched_each_with_its_row_and_its_body(web: Web, tmp_path: Path) -> None:
    job = FakeJob(tmp_path)
    urls = [web.url(f"/page/{number}") for number in range(300)]

    result = fetch(job, urls)

    assert (300, 0, 0, {"200": 300}) == (result.fetched, result.refused, result.failed, result.statuses)
    assert result.rows
    assert urls == [row.url for row in result.rows]
    with zipfile.ZipFile(tmp_path / "bodies.zip") as bodies:
        for number, row in enumerate(result.rows):
            body = bodies.read(row.body or "")
            assert f"page /page/{number}".encode() == body
            assert (hashlib.sha256(body).hexdigest(), len(body)) == (row.sha256, row.size)
            assert ("text/plain; charset=utf-8", 1) == (row.media_type, row.attempts)
    lines = (tmp_path / "results.jsonl").read_bytes().splitlines()
    assert list(result.rows) == [msgspec.json.decode(line, type=FetchedRow) for line in lines]
    assert {"bodies.zip", "results.jsonl"} == job.artifacts.keys()
    assert [] == [path for path in tmp_path.iterdir() if path.name.startswith(".body")]
    assert 99.0 == job.reports[-1][0]


def test_more_rows_than_fit_into_the_result_are_in_the_file_alone(web: Web, tmp_path: Path) -> None:
    result = fetch(FakeJob(tmp_path), [web.url("/page")] * 501, keep_bodies=False, concurrency_per_host=20)

    assert result.rows is None
    assert result.bodies is None
    assert 501 == len((tmp_path / "results.jsonl").read_bytes().splitlines())


def test_a_host_gets_no_more_requests_at_once_than_asked_for(web: Web, tmp_path: Path) -> None:
    urls = [web.url("/slow/0.02", host) for host in ("127.0.0.1", "127.0.0.2", "127.0.0.3") for _ in range(6)]

    fetch(FakeJob(tmp_path), urls[:6], concurrency_per_host=2)
    assert [2] == list(web.most_busy.values())


def test_a_failing_server_is_asked_again_and_only_so_often(web: Web, tmp_path: Path) -> None:
    well = only(tmp_path, web.url("/flaky/2"), retries=2)
    assert (200, 3, None) == (well.status, well.attempts, well.error)

    badly = only(tmp_path, web.url("/status/503"), retries=1)
    assert (503, 2, None) == (badly.status, badly.attempts, badly.error)
    assert 2 == web.asked["/status/503"]

    gone = only(tmp_path, web.url("/status/404"), retries=5)
    assert (404, 1) == (gone.status, gone.attempts)


def test_redirects_are_followed_so_far_and_secrets_stay_with_their_server(web: Web, tmp_path: Path) -> None:
    row = only(tmp_path, web.url("/redirect/redirect/page"), headers={"Authorization": "secret", "X-Own": "yes"})
    assert (200, web.url("/page")) == (row.status, row.final_url)
    assert all("secret" in head for head in web.heads)

    web.heads.clear()
    elsewhere = f"127.0.0.1:{web.port}"
    row = only(tmp_path, web.url(f"/turns-inside/{elsewhere}", "localhost"), headers={"Authorization": "secret"})
    assert 200 == row.status
    assert ["secret" in head for head in web.heads] == [True, False]

    assert "more than 3 redirects" == only(tmp_path, web.url("/round"), redirects=3).error


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/reset", "connection"),
        ("/silent", "no answer within 0.5 s"),
        ("/dribble", "no answer within 0.5 s"),
        ("/short", "connection"),
        ("/garbage", "connection"),
        ("/headers", "connection"),
        ("/large/20000", "larger than 10,000 bytes"),
    ],
)
def test_what_a_server_does_badly_is_the_error_of_its_row_alone(
    web: Web, tmp_path: Path, path: str, error: str
) -> None:
    wishes = {"url_timeout_seconds": 0.5, "max_body_bytes": 10_000, "retries": 0}
    result = fetch(FakeJob(tmp_path), [web.url(path), web.url("/page")], **wishes)

    assert (1, 0, 1) == (result.fetched, result.refused, result.failed)
    assert result.rows
    bad, good = result.rows
    assert error in (bad.error or "")
    assert (None, 200) == (bad.body, good.status)
    with zipfile.ZipFile(tmp_path / "bodies.zip") as bodies:
        assert ["00001"] == bodies.namelist()


def test_all_bodies_together_stay_within_their_limit(web: Web, tmp_path: Path) -> None:
    result = fetch(FakeJob(tmp_path), [web.url("/large/40000")] * 5, max_total_bytes=100_000, retries=0, concurrency=1)

    assert result.rows
    assert [True, True, False, False, False] == sorted((row.error is None for row in result.rows), reverse=True)
    assert (tmp_path / "bodies.zip").stat().st_size < 100_000


def test_what_comes_compressed_is_kept_as_it_came(web: Web, tmp_path: Path) -> None:
    row = only(tmp_path, web.url("/gzip"))

    assert ("gzip", 12) == (row.content_encoding, row.size)
    assert "accept-encoding: identity" in web.heads[0].lower()


def test_robots_are_respected_when_asked_for(web: Web, tmp_path: Path) -> None:
    urls = [web.url("/private/1"), web.url("/private/2"), web.url("/page")]

    result = fetch(FakeJob(tmp_path), urls, respect_robots=True)

    assert result.rows
    assert ["robots.txt" in (row.error or "") for row in result.rows] == [True, True, False]
    assert {"/robots.txt": 1, "/page": 1} == dict(web.asked)
    assert 200 == only(tmp_path, urls[0]).status


def test_head_asks_for_no_body(web: Web, tmp_path: Path) -> None:
    row = only(tmp_path, web.url("/page"), method="HEAD")

    assert (200, 0, None, None) == (row.status, row.size, row.sha256, row.body)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://localhost/",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://0.0.0.0/",
        "http://10.0.0.1/",
    ],
)
def test_no_address_of_the_operators_own_is_asked_unless_allowed(
    web: Web, tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OFFLOAD_OUTBOUND_NETWORKS")

    assert "not public" in (only(tmp_path, url).error or "")


def test_a_redirect_that_turns_inside_is_refused(web: Web, tmp_path: Path) -> None:
    row = only(tmp_path, web.url("/turns-inside/169.254.169.254"))

    assert "not public" in (row.error or "")


def test_a_cancelled_job_leaves_no_request_under_way(web: Web, tmp_path: Path) -> None:
    payload = FetchUrls(urls=tuple([web.url("/silent")] * 30), concurrency_per_host=20)

    async def scenario() -> None:
        job = asyncio.create_task(fetch_urls(payload, FakeJob(tmp_path)))
        while web.asked["/silent"] < 20:  # noqa: ASYNC110 - it happens on another thread
            await asyncio.sleep(0.01)
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job
        assert {asyncio.current_task()} == asyncio.all_tasks()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("wishes", "told"),
    [
        ({"urls": []}, "length"),
        ({"urls": ["ftp://a.example/"]}, "regex"),
        ({"urls": ["http://a.example/", "http://user:secret@a.example/"]}, "number 1 has a user"),
        ({"urls": ["http://2130706433/"]}, "number 0 names no host"),
        ({"urls": ["http://a.example/"], "headers": {"Host": "b.example"}}, "Host cannot be set"),
        ({"urls": ["http://a.example/"], "headers": {"X": "a\r\nY: b"}}, "regex"),
        ({"urls": ["http://a.example/"] * 5001}, "length"),
    ],
)
def test_what_can_be_told_to_be_wrong_is_refused_at_submit(wishes: dict[str, Any], told: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=told):
        msgspec.json.decode(json.dumps(wishes), type=FetchUrls)
