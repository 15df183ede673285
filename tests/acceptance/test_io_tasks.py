"""The shipped tasks that reach out, through the running services: to a web server and to a mail server of ours."""

import io
import zipfile

import pytest

from tests.acceptance.conftest import EMBEDDED_AND_WHOLE
from tests.acceptance.stack import Stack
from tests.mail import receiving
from tests.web import serving

PAGES = 200


@pytest.mark.parametrize("stack", EMBEDDED_AND_WHOLE, indirect=True)
def test_pages_are_fetched_and_mailed(stack: Stack) -> None:
    with serving() as web, receiving() as mailbox:
        stack.environment |= {
            "OFFLOAD_OUTBOUND_NETWORKS": "127.0.0.0/8",
            "OFFLOAD_SMTP_URL": f"smtp://127.0.0.1:{mailbox.port}",
            "OFFLOAD_SMTP_FROM": "noreply@offload.example",
        }
        stack.start_api()
        stack.start_worker("--queue", "io")
        mailbox.drops = 1  # whose answer is lost

        urls = [*(web.url(f"/page/{number}") for number in range(PAGES)), "http://169.254.169.254/", web.url("/reset")]
        fetching = stack.submit("fetch-urls", {"urls": urls, "retries": 0, "concurrency_per_host": 20})
        fetched = stack.result(fetching)
        source = {"job": fetching, "name": "bodies.zip"}
        mailing = stack.submit(
            "send-email",
            {
                "to": ["ada@example.org"],
                "subject": "{{ count }} pages",
                "text": "Attached.",
                "template_data": {"count": fetched["fetched"]},
                "attachments": [{"name": "pages.zip", "source": source, "media_type": "application/zip"}],
            },
        )
        mailed = stack.result(mailing)

    assert (PAGES, 2) == (fetched["fetched"], fetched["failed"])
    assert "not public" in fetched["rows"][PAGES]["error"]
    [message] = mailbox.messages
    assert (f"{PAGES} pages", mailed["message_id"]) == (message["Subject"], message["Message-ID"])
    assert mailing in mailed["message_id"]
    assert 2 == stack.job(mailing)["attempt"]
    [attached] = message.iter_attachments()
    with zipfile.ZipFile(io.BytesIO(attached.get_content())) as pages:
        assert b"page /page/7" == pages.read("00007")
