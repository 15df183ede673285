import hashlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import boto3
import pytest
from moto.server import ThreadedMotoServer

from offload_shared.artifacts import Artifacts
from offload_shared.errors import ArtifactsUnavailable, SettingsInvalid

#: More than one part of a multipart upload.
LARGE = bytes(range(256)) * 50_000


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket on an S3 server of this test's own."""
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}".replace("0.0.0.0", "127.0.0.1"),
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    boto3.client("s3", region_name="us-east-1", endpoint_url=settings["AWS_ENDPOINT_URL"]).create_bucket(
        Bucket="offload"
    )
    yield "s3://offload/prefix"
    server.stop()


@pytest.fixture(params=["folder", "bucket"])
def artifacts(request: pytest.FixtureRequest, tmp_path: Path) -> Artifacts:
    url = (tmp_path / "with space").as_uri() if request.param == "folder" else request.getfixturevalue("bucket")
    return Artifacts(url)


async def pieces(content: bytes, size: int = 100_000) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def broken_pieces() -> AsyncIterator[bytes]:
    yield LARGE
    raise ConnectionResetError


async def read(artifacts: Artifacts, key: str, start: int, end: int) -> bytes:
    return b"".join([chunk async for chunk in artifacts.send(key, start, end)])


@pytest.mark.parametrize("content", [b"", b"x", LARGE], ids=["empty", "small", "large"])
def test_what_was_received_is_sent_back_byte_for_byte(artifacts: Artifacts, content: bytes) -> None:
    size, sha256 = anyio.run(artifacts.receive, "files/one", pieces(content))

    assert (len(content), hashlib.sha256(content).hexdigest()) == (size, sha256)
    assert content == anyio.run(read, artifacts, "files/one", 0, size)


def test_a_part_of_a_file_is_sent_alone(artifacts: Artifacts) -> None:
    anyio.run(artifacts.receive, "files/one", pieces(LARGE))

    assert LARGE[1000:2000] == anyio.run(read, artifacts, "files/one", 1000, 2000)


def test_a_file_whose_sender_breaks_off_is_not_there(artifacts: Artifacts, tmp_path: Path) -> None:
    with pytest.raises(ConnectionResetError):
        anyio.run(artifacts.receive, "files/one", broken_pieces())

    with pytest.raises(ArtifactsUnavailable):
        anyio.run(read, artifacts, "files/one", 0, 10)
    assert [] == [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_workers_file_is_stored_fetched_and_deleted(artifacts: Artifacts, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(LARGE)

    with source.open("rb") as opened:
        stored = artifacts.store("jobs/1/1/model.onnx", opened, name="model.onnx", media_type="a/b")
    with target.open("wb") as opened_target:
        artifacts.fetch(stored.key, opened_target)

    assert (len(LARGE), hashlib.sha256(LARGE).hexdigest()) == (stored.size, stored.sha256)
    assert target.read_bytes() == LARGE
    artifacts.delete(stored.key)
    artifacts.delete(stored.key)
    with target.open("wb") as opened_target, pytest.raises(ArtifactsUnavailable):
        artifacts.fetch(stored.key, opened_target)


def kept(artifacts: Artifacts, source: Path, *keys: str) -> None:
    for key in keys:
        with source.open("rb") as opened:
            artifacts.store(key, opened, name="note", media_type="a/b")


def is_there(artifacts: Artifacts, key: str, target: Path) -> bool:
    try:
        with target.open("wb") as opened:
            artifacts.fetch(key, opened)
    except ArtifactsUnavailable:
        return False
    return True


def test_what_lies_below_a_prefix_is_removed_but_what_is_to_stay(artifacts: Artifacts, tmp_path: Path) -> None:
    (source := tmp_path / "source").write_text("kept")
    keys = ["jobs/1/1/a", "jobs/1/2/a", "jobs/1/2/b c", "jobs/1/21/a", "jobs/10/1/a", "files/1"]
    kept(artifacts, source, *keys)

    artifacts.delete_all("jobs/1/", but="jobs/1/2/")

    stay = ["jobs/1/2/a", "jobs/1/2/b c", "jobs/10/1/a", "files/1"]
    assert stay == [key for key in keys if is_there(artifacts, key, tmp_path / "target")]
    artifacts.delete_all("jobs/1/")
    assert stay[2:] == [key for key in keys if is_there(artifacts, key, tmp_path / "target")]
    artifacts.delete_all("jobs/1/")


def test_what_a_killed_process_was_writing_is_removed_too(tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path.as_uri())
    for attempt in (1, 2):
        folder = tmp_path / "jobs" / "1" / str(attempt)
        folder.mkdir(parents=True)
        (folder / "note#1").write_text("half")  # as the storage's client names it until it is whole

    artifacts.delete_all("jobs/1/", but="jobs/1/2/")
    assert ["note#1"] == [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert not (tmp_path / "jobs" / "1" / "1").exists()

    artifacts.delete_all("jobs/1/")
    assert [] == [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_storage_that_cannot_be_used_stops_the_start_with_one_sentence() -> None:
    with pytest.raises(SettingsInvalid, match="artifact storage") as caught:
        Artifacts("file:///proc/nothing")

    assert "\n" not in str(caught.value)
