"""What attempts print and log, read over HTTP on each kind of store."""

import time
from collections.abc import Iterator

import httpx2
import pytest

from offload_shared.job import Failed, Failure, Output, Succeeded, Usage
from offload_shared.store import leases, outputs
from tests.api import STORES, Api, Waiting, api_on, problem
from tests.jobs import make_due

ERROR = Failed(Failure.ERROR, "it broke")


@pytest.fixture(scope="module", params=STORES)
def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One API on each kind of store; no test minds the jobs of the others."""
    with api_on(request.param, request, tmp_path_factory.mktemp("api")) as running:
        yield running


def begun(api: Api) -> leases.Lease:
    """Submit a job and begin its first attempt."""
    return api.start(api.submit("probe", {})["id"])


def begun_again(api: Api, lease: leases.Lease) -> leases.Lease:
    """Let an attempt fail and the next one begin."""
    leases.finish(api.database, lease, ERROR, Usage())
    make_due(api.database, lease[0])
    return api.start(lease[0])


def say(api: Api, lease: leases.Lease, content: bytes, start: int = 0) -> None:
    outputs.append(api.database, {lease: Output(start, content)})


def path(lease: leases.Lease) -> str:
    return f"/v1/jobs/{lease[0]}/output"


def get(api: Api, lease: leases.Lease, **query: int | str) -> httpx2.Response:
    answer = api.http.get(path(lease), params=query)
    assert answer.status_code == 200, answer.text
    return answer


def place(answer: httpx2.Response) -> tuple[int, int, int]:
    """Return which attempt an answer is of, and where in its output it begins and ends."""
    names = ("offload-attempt", "offload-output-start", "offload-output-end")
    attempt, start, end = (int(answer.headers[name]) for name in names)
    return attempt, start, end


def test_output_comes_byte_by_byte_as_it_was_written_and_cannot_be_taken_for_a_page_of_ours(api: Api) -> None:
    lease = begun(api)
    written = b"<script>\x00\x1b[2J\r\n\xff caf\xc3"
    say(api, lease, written)

    answer = get(api, lease)

    assert written == answer.content
    assert (1, 0, len(written)) == place(answer)
    assert {
        "content-type": "text/plain; charset=utf-8",
        "content-length": str(len(written)),
        "x-content-type-options": "nosniff",
        "content-security-policy": "default-src 'none'; sandbox",
        "cache-control": "private, no-cache",
    }.items() <= dict(answer.headers).items()


def test_a_client_follows_an_attempt_by_sending_the_end_it_was_told(api: Api) -> None:
    lease = begun(api)
    read, end = b"", 0
    for start, content in ((0, b"one\n"), (4, b"two\n"), (8, b"three\n")):
        say(api, lease, content, start)
        answer = get(api, lease, attempt=1, after=end)
        read, end = read + answer.content, place(answer)[2]

    nothing_new = get(api, lease, after=end)
    assert (b"one\ntwo\nthree\n", 14) == (read, end)
    assert (b"", (1, 14, 14)) == (nothing_new.content, place(nothing_new))


def test_output_may_be_cut_at_any_byte(api: Api) -> None:
    lease = begun(api)
    say(api, lease, "é!".encode())

    answer = get(api, lease, after=1)

    assert (b"\xa9!", (1, 1, 3)) == (answer.content, place(answer))


def test_the_latest_attempts_output_is_answered_unless_an_older_one_is_asked_for(api: Api) -> None:
    first = begun(api)
    say(api, first, b"first")
    second = begun_again(api, first)
    say(api, second, b"second")

    answers = [get(api, second), get(api, second, attempt=0), get(api, second, attempt=2), get(api, second, attempt=1)]

    assert [b"second", b"second", b"second", b"first"] == [answer.content for answer in answers]
    assert [(2, 0, 6), (2, 0, 6), (2, 0, 6), (1, 0, 5)] == [place(answer) for answer in answers]


def test_where_older_output_was_dropped_the_answer_begins_later_than_asked_for_and_says_so(api: Api) -> None:
    lease = begun(api)
    part = outputs.KEPT_BYTES // 2
    for number in range(4):
        say(api, lease, bytes([number]) * part, number * part)

    answer = get(api, lease, after=7)

    assert (1, 2 * part, 4 * part) == place(answer)
    assert bytes([2]) * part + bytes([3]) * part == answer.content


def test_while_an_attempt_runs_it_may_say_more_and_once_it_has_ended_no_more(api: Api) -> None:
    lease = begun(api)
    say(api, lease, b"one")
    before = get(api, lease)
    leases.finish(api.database, lease, Succeeded(b"{}"), Usage(), Output(3, b" and last words"))
    after = get(api, lease)

    assert ("1", b"one") == (before.headers["retry-after"], before.content)
    assert b"one and last words" == after.content
    assert "retry-after" not in after.headers


def test_an_attempt_that_failed_says_no_more_while_its_job_goes_on(api: Api) -> None:
    first = begun(api)
    leases.finish(api.database, first, ERROR, Usage(), Output(0, b"first"))
    waits = get(api, first)
    make_due(api.database, first[0])
    api.start(first[0])

    answers = [waits, get(api, first, attempt=1), get(api, first)]

    assert [(1, 0, 5), (1, 0, 5), (2, 0, 0)] == [place(answer) for answer in answers]
    assert [False, False, True] == ["retry-after" in answer.headers for answer in answers]


def test_before_a_job_starts_there_is_no_output_and_no_link_to_it(api: Api) -> None:
    queued, later = api.submit("probe", {}), api.submit("probe", {}, delay_seconds=40)

    answers = [get(api, (job["id"], 0)) for job in (queued, later)]

    assert [b"", b""] == [answer.content for answer in answers]
    assert [(0, 0, 0), (0, 0, 0)] == [place(answer) for answer in answers]
    assert ["1", "40"] == [answer.headers["retry-after"] for answer in answers]
    assert "output" not in queued["links"]


def test_a_job_that_was_cancelled_before_it_started_will_never_say_anything(api: Api) -> None:
    job_id = api.submit("probe", {})["id"]
    api.http.post(f"/v1/jobs/{job_id}/cancel")

    answer = api.http.get(f"/v1/jobs/{job_id}/output", headers={"Prefer": "wait=30"})

    assert (200, b"", (0, 0, 0)) == (answer.status_code, answer.content, place(answer))
    assert "retry-after" not in answer.headers


def test_once_a_job_has_started_it_links_to_its_output_for_good(api: Api) -> None:
    lease = begun(api)
    running = api.job(lease[0])["links"]
    leases.finish(api.database, lease, Succeeded(b"{}"), Usage())
    ended = api.job(lease[0])["links"]

    assert [path(lease), path(lease)] == [running["output"], ended["output"]]


def test_a_waiting_request_is_answered_soon_after_something_was_said(api: Api) -> None:
    lease = begun(api)
    say(api, lease, b"one\n")

    with Waiting(api, path(lease) + "?attempt=1&after=4", {"Prefer": "wait=20"}) as waiting:
        say(api, lease, b"two\n", 4)
        answer = waiting.answer()

    assert (b"two\n", (1, 4, 8)) == (answer.content, place(answer))
    assert "wait=20" == answer.headers["preference-applied"]
    assert waiting.seconds_after_change < 5


def test_a_waiting_request_is_answered_when_its_attempt_ends_though_the_job_goes_on(api: Api) -> None:
    lease = begun(api)

    with Waiting(api, path(lease), {"Prefer": "wait=20"}) as waiting:
        leases.finish(api.database, lease, ERROR, Usage())
        answer = waiting.answer()

    assert (b"", (1, 0, 0)) == (answer.content, place(answer))
    assert "retry-after" not in answer.headers
    assert waiting.seconds_after_change < 5


def test_a_request_may_wait_from_before_the_job_starts(api: Api) -> None:
    job_id = api.submit("probe", {})["id"]

    with Waiting(api, f"/v1/jobs/{job_id}/output", {"Prefer": "wait=20"}) as waiting:
        say(api, api.start(job_id), b"hello")
        answer = waiting.answer()

    assert (b"hello", (1, 0, 5)) == (answer.content, place(answer))


def test_what_there_is_already_is_answered_at_once_however_long_the_client_would_wait(api: Api) -> None:
    lease = begun(api)
    say(api, lease, b"one")
    began = time.monotonic()

    assert b"one" == api.http.get(path(lease), headers={"Prefer": "wait=30"}).content
    assert time.monotonic() - began < 10


def test_a_wait_that_is_over_is_answered_with_nothing_and_the_same_end(api: Api) -> None:
    lease = begun(api)
    say(api, lease, b"one")
    began = time.monotonic()

    answer = api.http.get(path(lease), params={"after": 3}, headers={"Prefer": "wait=1"})

    assert (200, b"", (1, 3, 3)) == (answer.status_code, answer.content, place(answer))
    assert 1 <= time.monotonic() - began < 10


def test_head_tells_the_same_without_the_bytes(api: Api) -> None:
    lease = begun(api)
    say(api, lease, b"one")

    got, head = get(api, lease), api.http.head(path(lease))

    assert (200, b"") == (head.status_code, head.content)
    assert place(got) == place(head)
    assert [got.headers[name] for name in ("content-length", "content-type", "retry-after")] == [
        head.headers[name] for name in ("content-length", "content-type", "retry-after")
    ]


@pytest.mark.parametrize("attempt", [2, 2**31, 2**63 - 1])
def test_an_attempt_that_there_never_was_is_404(api: Api, attempt: int) -> None:
    answer = api.http.get(path(begun(api)), params={"attempt": attempt}, headers={"Prefer": "wait=30"})

    assert (404, "There is no such attempt.") == (answer.status_code, problem(answer)["detail"])


def test_after_the_largest_number_there_is_nothing(api: Api) -> None:
    lease = begun(api)
    say(api, lease, b"one")

    assert b"" == get(api, lease, after=2**63 - 1).content


VALUES = {
    "negative": "-1",
    "signed": "%2B1",
    "fraction": "1.0",
    "power": "1e3",
    "text": "x",
    "empty": "",
    "space": "%201",
    "line end": "1%0A",
    "NUL": "%00",
    "not UTF-8": "%ff",
    "digits of another script": "%D9%A3",
    "too large": str(2**63),
    "far too large": "1" * 5000,
}


@pytest.mark.parametrize("name", ["attempt", "after"])
@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES.keys())
def test_what_is_no_count_is_400_and_named(api: Api, name: str, value: str) -> None:
    answer = api.http.get(f"/v1/jobs/{'0' * 32}/output?{name}={value}")

    assert (400, "/problems/malformed") == (answer.status_code, problem(answer)["type"])
    assert f"`{name}`" in problem(answer)["detail"]


def test_a_count_given_twice_is_400(api: Api) -> None:
    answer = api.http.get(path(begun(api)) + "?after=1&after=1")

    assert (400, "/problems/malformed") == (answer.status_code, problem(answer)["type"])
