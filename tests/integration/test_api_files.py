"""Uploaded files and jobs' artifacts over HTTP."""

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from offload_shared.artifacts import Artifacts
from offload_shared.job import StoredFile
from tests.api import STORES, Api, api_on, problem

LIMIT_BYTES = 1_000_000
CONTENT = bytes(range(256)) * 100


@pytest.fixture(scope="module", params=STORES)
def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("api")
    with api_on(request.param, request, folder, max_upload_bytes=str(LIMIT_BYTES)) as running:
        yield running


@pytest.fixture(scope="module")
def file_id(api: Api) -> str:
    headers = {"Content-Type": "text/csv", "Content-Disposition": 'attachment; filename="table.csv"'}
    return str(api.http.post("/v1/files", content=CONTENT, headers=headers).raise_for_status().json()["id"])


def test_an_upload_is_answered_with_what_was_stored_and_where(api: Api) -> None:
    headers = {"Content-Type": "text/csv; charset=utf-8", "Content-Disposition": 'attachment; filename="table.csv"'}

    answer = api.http.post("/v1/files", content=CONTENT, headers=headers)

    body = answer.json()
    assert 201 == answer.status_code
    assert f"/v1/files/{body['id']}" == answer.headers["location"] == body["href"]
    assert ("table.csv", "text/csv; charset=utf-8", len(CONTENT), hashlib.sha256(CONTENT).hexdigest()) == (
        body["name"],
        body["media_type"],
        body["size"],
        body["sha256"],
    )


def test_a_download_gives_back_the_bytes_and_cannot_be_taken_for_a_page_of_ours(api: Api, file_id: str) -> None:
    answer = api.http.get(f"/v1/files/{file_id}")

    digest = hashlib.sha256(CONTENT)
    assert (200, CONTENT) == (answer.status_code, answer.content)
    assert {
        "content-type": "text/csv",
        "content-length": str(len(CONTENT)),
        "etag": f'"{digest.hexdigest()}"',
        "repr-digest": f"sha-256=:{base64.b64encode(digest.digest()).decode()}:",
        "content-disposition": "attachment; filename=\"table.csv\"; filename*=UTF-8''table.csv",
        "accept-ranges": "bytes",
        "x-content-type-options": "nosniff",
        "content-security-policy": "default-src 'none'; sandbox",
    }.items() <= dict(answer.headers).items()


def test_head_of_a_file_has_its_headers_alone(api: Api, file_id: str) -> None:
    answer = api.http.head(f"/v1/files/{file_id}")

    assert (200, b"", str(len(CONTENT))) == (answer.status_code, answer.content, answer.headers["content-length"])


def test_a_file_that_the_client_has_is_304(api: Api, file_id: str) -> None:
    etag = api.http.get(f"/v1/files/{file_id}").headers["etag"]

    answer = api.http.get(f"/v1/files/{file_id}", headers={"If-None-Match": f'"other", W/{etag}'})

    assert (304, b"") == (answer.status_code, answer.content)


@pytest.mark.parametrize(
    ("wanted", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=100-199", 100, 199),
        ("bytes=25000-", 25_000, 25_599),
        ("bytes=-100", 25_500, 25_599),
    ],
)
def test_a_range_is_answered_with_those_bytes(api: Api, file_id: str, wanted: str, first: int, last: int) -> None:
    answer = api.http.get(f"/v1/files/{file_id}", headers={"Range": wanted})

    assert (206, CONTENT[first : last + 1]) == (answer.status_code, answer.content)
    assert f"bytes {first}-{last}/{len(CONTENT)}" == answer.headers["content-range"]


@pytest.mark.parametrize("wanted", ["bytes=25600-", "bytes=99999-100000", "bytes=-0"])
def test_a_range_behind_the_end_is_416_and_says_the_size(api: Api, file_id: str, wanted: str) -> None:
    answer = api.http.get(f"/v1/files/{file_id}", headers={"Range": wanted})

    assert 416 == problem(answer)["status"]
    assert "bytes */25600" == answer.headers["content-range"]


@pytest.mark.parametrize("wanted", ["bytes=0-1,5-6", "lines=1-2", "bytes=9-1", "bytes", "bytes=a-b"])
def test_ranges_that_are_not_supported_are_ignored(api: Api, file_id: str, wanted: str) -> None:
    answer = api.http.get(f"/v1/files/{file_id}", headers={"Range": wanted})

    assert (200, len(CONTENT)) == (answer.status_code, len(answer.content))


def test_a_range_of_an_outdated_file_is_answered_with_the_whole(api: Api, file_id: str) -> None:
    answer = api.http.get(f"/v1/files/{file_id}", headers={"Range": "bytes=0-9", "If-Range": '"old"'})

    assert (200, CONTENT) == (answer.status_code, answer.content)


def test_an_empty_file_is_a_file(api: Api) -> None:
    uploaded = api.http.post("/v1/files", content=b"").json()

    assert (200, b"") == ((answer := api.http.get(uploaded["href"])).status_code, answer.content)
    assert ("application/octet-stream", 0) == (uploaded["media_type"], uploaded["size"])
    assert 416 == api.http.get(uploaded["href"], headers={"Range": "bytes=0-"}).status_code


def test_a_form_is_refused_with_the_way_that_works(api: Api) -> None:
    answer = api.http.post("/v1/files", files={"file": b"x"})

    assert 415 == answer.status_code
    assert "--data-binary @file" in problem(answer)["detail"]


def test_what_curl_sends_without_a_type_is_taken_as_bytes(api: Api) -> None:
    answer = api.http.post("/v1/files", content=b"x", headers={"Content-Type": "application/x-www-form-urlencoded"})

    assert (201, "application/octet-stream") == (answer.status_code, answer.json()["media_type"])


@pytest.mark.parametrize("media_type", ["nonsense", "text/", "a/" + "b" * 300, "text/ html"])
def test_a_content_type_that_is_none_is_415(api: Api, media_type: str) -> None:
    assert 415 == problem(api.http.post("/v1/files", content=b"x", headers={"Content-Type": media_type}))["status"]


NAMES = {
    "path": ('filename="../../etc/passwd"', "passwd"),
    "drive": (r'filename="C:\\windows\\win.ini"', "win.ini"),
    "long": (f'filename="{"x" * 4000}"', "x" * 255),
    "line ends": ("filename*=UTF-8''a%0D%0Ab", "ab"),
    "right to left": ("filename*=UTF-8''%E2%80%AEgpj.exe", "gpj.exe"),
    "quotes": (r'filename="a\"b"', "a_b"),
    "unicode": ("filename*=UTF-8''z%C3%BCge.csv", "z_ge.csv"),
    "both": ("filename=\"b.csv\"; filename*=UTF-8''%C3%A4.csv", "_.csv"),
    "dots": ('filename=".."', "file"),
}


@pytest.mark.parametrize(("parameters", "shown"), NAMES.values(), ids=NAMES.keys())
def test_a_file_name_is_kept_as_a_description_and_never_as_a_path(api: Api, parameters: str, shown: str) -> None:
    answer = api.http.post("/v1/files", content=b"x", headers={"Content-Disposition": f"attachment; {parameters}"})

    disposition = api.http.get(answer.json()["href"]).headers["content-disposition"]
    assert disposition.startswith(f'attachment; filename="{shown}"; filename*=')
    assert {"files"} == {path.parent.name for path in api.files()}


def test_a_name_may_be_given_in_the_address(api: Api) -> None:
    assert "tabelle 1.csv" == api.http.post("/v1/files?name=tabelle%201.csv", content=b"x").json()["name"]


def test_an_upload_over_the_limit_is_413_and_leaves_nothing(api: Api) -> None:
    before = api.files()

    announced = api.http.post("/v1/files", content=b"x" * (LIMIT_BYTES + 1))
    chunked = api.http.post("/v1/files", content=(b"x" * 100_000 for _ in range(11)))

    assert [413, 413] == [problem(announced)["status"], problem(chunked)["status"]]
    assert before == api.files()


@pytest.mark.parametrize("path", ["/v1/files/" + "0" * 32, "/v1/files/x", "/v1/files/..%2f..%2fetc%2fpasswd"])
def test_an_unknown_file_is_404(api: Api, path: str) -> None:
    assert 404 == problem(api.http.get(path))["status"]


def test_an_artifact_is_downloaded_by_the_link_in_its_job(api: Api, tmp_path: Path) -> None:
    job_id = api.submit()["id"]
    source = tmp_path / "source"
    source.write_bytes(CONTENT)
    artifacts = Artifacts((api.data / "artifacts").as_uri())
    with source.open("rb") as opened:
        stored = artifacts.store(f"jobs/{job_id}/1/0", opened, name="model 1.onnx", media_type="application/x-onnx")
    api.succeed(job_id, b"{}", stored)

    [shown] = api.job(job_id)["artifacts"]
    answer = api.http.get(shown["href"], headers={"Range": "bytes=-6"})

    assert ("model 1.onnx", len(CONTENT), stored.sha256) == (shown["name"], shown["size"], shown["sha256"])
    assert (206, CONTENT[-6:]) == (answer.status_code, answer.content)
    assert "application/x-onnx" == answer.headers["content-type"]
    assert 404 == problem(api.http.get(shown["href"] + "x"))["status"]
    behind = api.http.get(shown["href"], headers={"Range": f"bytes={len(CONTENT)}-"})
    assert (416, f"bytes */{len(CONTENT)}") == (problem(behind)["status"], behind.headers["content-range"])
    assert 304 == api.http.get(shown["href"], headers={"If-None-Match": answer.headers["etag"]}).status_code
    head = api.http.head(shown["href"])
    assert (200, b"", str(len(CONTENT))) == (head.status_code, head.content, head.headers["content-length"])


def test_bytes_that_the_storage_has_lost_are_503_and_no_torn_file(api: Api) -> None:
    job_id = api.submit()["id"]
    lost = StoredFile(key="jobs/lost", name="lost", media_type="text/plain", size=5, sha256="0" * 64)
    api.succeed(job_id, b"{}", lost)

    answer = api.http.get(f"/v1/jobs/{job_id}/artifacts/lost")

    assert (503, "/problems/unavailable") == (answer.status_code, problem(answer)["type"])


LARGE_BYTES = 128 * 1024 * 1024


@pytest.mark.parametrize("store", STORES)
def test_a_large_file_comes_and_goes_without_being_held_in_memory(
    store: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    block = bytes(range(256)) * 4096

    with api_on(store, request, tmp_path) as api:
        api.http.get(f"/v1/files/{api.http.post('/v1/files', content=block).json()['id']}")
        before = _largest_memory(api)
        uploaded = api.http.post("/v1/files", content=(block for _ in range(LARGE_BYTES // len(block)))).json()
        with api.http.stream("GET", f"/v1/files/{uploaded['id']}") as answer:
            received = sum(map(len, answer.iter_raw()))
        after = _largest_memory(api)

    assert LARGE_BYTES == uploaded["size"] == received
    assert after - before < LARGE_BYTES / 2


def _largest_memory(api: Api) -> int:
    """Return the most memory, in bytes, that the process has held at any time."""
    status = Path(f"/proc/{api.process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024
