"""The handlers alone: nothing runs but the function."""

import io
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx2
import pytest
from PIL import Image

from acme_tasks import thumbnails
from offload_testing.alone import Ran
from offload_worker.handle import JobRejected

FILE_ID = "f" * 32
Run = Callable[..., Ran]


def test_a_picture_is_made_smaller_and_keeps_its_shape(run_handler: Run, picture: Callable[[int, int], bytes]) -> None:
    ran = run_handler(
        "acme-thumbnails", {"file_id": FILE_ID, "sizes": [100, 9999 % 4096]}, files={FILE_ID: picture(400, 200)}
    )

    assert [(100, 50), (400, 200)] == [(each.width, each.height) for each in ran.result.pictures]
    assert (100, 50) == Image.open(io.BytesIO(ran.artifact("100.jpg"))).size
    assert 100.0 == ran.job.reports[-1][0]


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + b"cut off"])
def test_what_is_no_picture_is_refused(run_handler: Run, content: bytes) -> None:
    with pytest.raises(JobRejected, match="no whole picture"):
        run_handler("acme-thumbnails", {"file_id": FILE_ID}, files={FILE_ID: content})


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_unpacked(
    run_handler: Run, picture: Callable[[int, int], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thumbnails, "MOST_PIXELS", 100)

    with pytest.raises(JobRejected, match="20 x 10 pixels"):
        run_handler("acme-thumbnails", {"file_id": FILE_ID}, files={FILE_ID: picture(20, 10)})


@contextmanager
def chat(status: int) -> Iterator[str]:
    """Answer each message with this status, and yield the address."""

    class Chat(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Chat) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.mark.parametrize(
    ("status", "raised"),
    [(204, None), (400, JobRejected), (429, httpx2.HTTPStatusError), (503, httpx2.HTTPStatusError)],
)
def test_what_the_chat_answers_decides_whether_it_is_told_again(
    run_handler: Run, monkeypatch: pytest.MonkeyPatch, status: int, raised: type[Exception] | None
) -> None:
    with chat(status) as url:
        monkeypatch.setenv("ACME_CHAT_URL", url)
        if raised is None:
            assert status == run_handler("acme-tell-chat", {"channel": "ops", "text": "Hello"}).result.status
        else:
            with pytest.raises(raised):
                run_handler("acme-tell-chat", {"channel": "ops", "text": "Hello"})
