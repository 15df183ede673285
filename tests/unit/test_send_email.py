"""`send-email` by a real SMTP server: what arrives is what was asked for, and what is refused is told."""

import asyncio
import datetime
import json
import ssl
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from offload_shared.errors import SettingsInvalid
from offload_shared.settings import load
from offload_shared.tasks.send_email import SendEmail, SendEmailResult
from offload_testing.job import FakeJob
from offload_worker.handle import JobRejected
from offload_worker.handlers.mailing.server import MailDeferred
from offload_worker.handlers.send_email import send_email
from offload_worker.settings import WorkerSettings
from tests.mail import Mailbox, receiving

FILE = "a" * 32
USUAL = {"to": ["ada@example.org"], "subject": "Hello", "text": "Dear Ada"}


@pytest.fixture
def mailbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mailbox]:
    with receiving() as mailbox:
        use(monkeypatch, f"smtp://127.0.0.1:{mailbox.port}")
        yield mailbox


def use(
    monkeypatch: pytest.MonkeyPatch, url: str, senders: str = "Offload <noreply@offload.example>, @acme.example"
) -> None:
    monkeypatch.setenv("OFFLOAD_SMTP_URL", url)
    monkeypatch.setenv("OFFLOAD_SMTP_FROM", senders)


def payload(**wishes: Any) -> SendEmail:
    return msgspec.json.decode(json.dumps({**USUAL, **wishes}), type=SendEmail)


def send(folder: Path, **wishes: Any) -> SendEmailResult:
    job = FakeJob(folder)
    job.upload(FILE, b"%PDF-1.7 a report")
    result = asyncio.run(send_email(payload(**wishes), job))
    return msgspec.json.decode(msgspec.json.encode(result), type=SendEmailResult)  # as a client gets it


def test_a_message_arrives_as_it_was_written(mailbox: Mailbox, tmp_path: Path) -> None:
    result = send(
        tmp_path,
        to=["Ada Lovelace <ada@example.org>"],
        cc=["Jürgen <j@example.org>"],
        bcc=["secret@example.org"],
        reply_to=["office@acme.example"],
        subject="Grüße",
        text="Straße\n" * 3,
        html="<p>Straße</p>",
        in_reply_to="<1@example.org>",
        list_unsubscribe="https://acme.example/u?x=1",
    )

    [message] = mailbox.messages
    assert ["ada@example.org", "j@example.org", "secret@example.org"] == mailbox.envelopes[0].rcpt_tos
    assert "Offload <noreply@offload.example>" == message["From"]
    assert ("Ada Lovelace <ada@example.org>", "Jürgen <j@example.org>") == (message["To"], message["Cc"])
    assert "secret" not in message.as_string()
    assert ("Grüße", "office@acme.example") == (message["Subject"], message["Reply-To"])
    assert ("<1@example.org>", "<https://acme.example/u?x=1>") == (message["In-Reply-To"], message["List-Unsubscribe"])
    text, html = message.get_body(("plain",)), message.get_body(("html",))
    assert text
    assert html
    assert ["Straße"] * 3 == text.get_content().split()
    assert "<p>Straße</p>" == html.get_content().strip()
    assert ("ada@example.org", "j@example.org", "secret@example.org") == result.accepted
    assert message["Message-ID"] == result.message_id


def test_each_attempt_of_a_job_has_the_same_message_id_and_each_job_its_own(mailbox: Mailbox, tmp_path: Path) -> None:
    ids = []
    for job_id, attempt in (("1" * 32, 1), ("1" * 32, 2), ("2" * 32, 1)):
        job = FakeJob(tmp_path, id=job_id, attempt=attempt)
        ids.append(asyncio.run(send_email(payload(), job)).message_id)

    assert ids[0] == ids[1] != ids[2]
    assert f"<{'1' * 32}@offload.example>" == ids[0]


def test_templates_are_filled_in_and_html_is_escaped(mailbox: Mailbox, tmp_path: Path) -> None:
    data = {"name": "Ada <3", "orders": [{"id": 1}, {"id": 2}]}
    loop = "{% for order in orders %}{{ order.id }};{% endfor %}"

    send(tmp_path, subject="For {{ name }}", text="{{ name }} " + loop, html="<b>{{ name }}</b>", template_data=data)

    [message] = mailbox.messages
    text, html = message.get_body(("plain",)), message.get_body(("html",))
    assert text
    assert html
    assert "For Ada <3" == message["Subject"]
    assert "Ada <3 1;2;" == text.get_content().strip()
    assert "<b>Ada &lt;3</b>" == html.get_content().strip()


def test_without_data_nothing_is_taken_for_a_template(mailbox: Mailbox, tmp_path: Path) -> None:
    send(tmp_path, text="{{ as it is }}")

    assert "{{ as it is }}" == mailbox.messages[0].get_content().strip()


def test_files_are_attached_and_images_stand_within_the_html(mailbox: Mailbox, tmp_path: Path) -> None:
    job = FakeJob(tmp_path)
    job.upload(FILE, b"%PDF-1.7 a report")
    (tmp_path / f"{'b' * 32}-metrics.png").write_bytes(b"\x89PNG")
    plot = {"job": "b" * 32, "name": "metrics.png"}
    attachments = [
        {"name": "Bericht für alle.pdf", "source": FILE, "media_type": "application/pdf"},
        {"name": "plot.png", "source": plot, "media_type": "image/png", "inline": True},
    ]

    asyncio.run(send_email(payload(html='<img src="cid:plot.png">', attachments=attachments), job))

    [message] = mailbox.messages
    [attached] = message.iter_attachments()
    assert ("Bericht für alle.pdf", "application/pdf") == (attached.get_filename(), attached.get_content_type())
    assert b"%PDF-1.7 a report" == attached.get_content()
    [image] = [part for part in message.walk() if part.get_content_type() == "image/png"]
    assert ("<plot.png>", "inline") == (image["Content-ID"], image.get_content_disposition())


def test_international_domains_are_written_as_dns_has_them(mailbox: Mailbox, tmp_path: Path) -> None:
    send(tmp_path, to=["post@bücher.example"])

    assert ["post@xn--bcher-kva.example"] == mailbox.envelopes[0].rcpt_tos


def test_who_may_send_is_the_operators_to_say(mailbox: Mailbox, tmp_path: Path) -> None:
    send(tmp_path, **{"from": "Sales <sales@ACME.example>"})
    assert "sales@ACME.example" == mailbox.envelopes[0].mail_from

    for stranger in ("boss@bank.example", "x@sub.acme.example", "noreply@offload.example.evil.example"):
        with pytest.raises(JobRejected, match="may not send here"):
            send(tmp_path, **{"from": stranger})


def test_a_recipient_that_is_refused_keeps_no_other_from_the_message(mailbox: Mailbox, tmp_path: Path) -> None:
    mailbox.refusals["gone@example.org"] = "550 no such user"

    result = send(tmp_path, to=["ada@example.org", "gone@example.org"])

    assert ("ada@example.org",) == result.accepted
    assert {"gone@example.org": "550 no such user"} == result.refused


def test_what_the_server_will_never_take_is_rejected_in_its_words(mailbox: Mailbox, tmp_path: Path) -> None:
    mailbox.at_data.append("554 looks like spam")
    with pytest.raises(JobRejected, match="554 looks like spam"):
        send(tmp_path)

    mailbox.refusals["ada@example.org"] = "550 no such user"
    with pytest.raises(JobRejected, match="550 no such user"):
        send(tmp_path)


def test_what_the_server_may_take_later_is_tried_again(mailbox: Mailbox, tmp_path: Path) -> None:
    mailbox.at_data.append("451 come back")
    with pytest.raises(MailDeferred, match="451 come back"):
        send(tmp_path)

    mailbox.refusals["ada@example.org"] = "450 mailbox busy"
    with pytest.raises(MailDeferred, match="450 mailbox busy"):
        send(tmp_path)

    mailbox.refusals.clear()
    mailbox.drops = 1
    with pytest.raises(MailDeferred):
        send(tmp_path)
    assert ("ada@example.org",) == send(tmp_path).accepted


def test_a_server_that_is_away_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as mailbox:
        use(monkeypatch, f"smtp://127.0.0.1:{mailbox.port}")

    with pytest.raises(MailDeferred, match="cannot be reached"):
        send(tmp_path)


def test_without_a_server_the_job_is_rejected_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OFFLOAD_SMTP_URL", raising=False)

    with pytest.raises(JobRejected, match="OFFLOAD_SMTP_URL"):
        send(tmp_path)


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    """A server's context with a certificate of its own, and where that is."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    file.write_bytes(pem + made.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context, file


def test_a_password_goes_over_an_encrypted_connection(
    tls: tuple[ssl.SSLContext, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, certificate = tls
    with receiving(tls=context, login=("user", "p@ss"), require_starttls=True) as mailbox:
        use(monkeypatch, f"smtp://user:p%40ss@127.0.0.1:{mailbox.port}")
        with pytest.raises(MailDeferred, match="cannot be reached"):  # its certificate is nobody's
            send(tmp_path)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        send(tmp_path)
        assert mailbox.sessions[0].ssl

        use(monkeypatch, f"smtp://user:wrong@127.0.0.1:{mailbox.port}")
        with pytest.raises(MailDeferred, match="does not take our credentials") as told:
            send(tmp_path)
        assert "wrong" not in str(told.value)


@pytest.mark.parametrize(
    ("wishes", "told"),
    [
        ({"to": ["a@b.example\r\nBcc: c@d.example"]}, "regex"),
        ({"subject": "x\nBcc: c@d.example"}, "regex"),
        ({"subject": ""}, "length"),
        ({"to": ["not an address"]}, "regex"),
        ({"to": []}, "0 recipients"),
        ({"to": ["a@b.example"] * 60, "cc": ["a@b.example"] * 60}, "120 recipients"),
        ({"text": None}, "`text` or `html`"),
        ({"in_reply_to": "<a>\r\nX: y"}, "regex"),
        ({"list_unsubscribe": "https://a.example/>\r\nX: y"}, "regex"),
        ({"attachments": [{"name": "a\r\nX: y", "source": FILE}]}, "regex"),
        ({"attachments": [{"name": "a", "source": FILE, "media_type": "text/html\r\nX: y"}]}, "regex"),
        ({"attachments": [{"name": "a", "source": FILE}] * 2}, "same name"),
    ],
)
def test_what_would_be_another_header_is_refused_at_submit(wishes: dict[str, Any], told: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=told):
        payload(**wishes)


def test_a_template_cannot_add_a_header(mailbox: Mailbox, tmp_path: Path) -> None:
    data = {"name": "Ada\r\nBcc: spy@example.org\r\n\r\nbody"}

    send(tmp_path, subject="For {{ name }}", template_data=data)

    [message] = mailbox.messages
    assert "For Ada Bcc: spy@example.org body" == message["Subject"]
    assert message["Bcc"] is None
    assert ["ada@example.org"] == mailbox.envelopes[0].rcpt_tos


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("{% for i in (1..1000) %}{% for j in (1..1000) %}x{% endfor %}{% endfor %}", "takes too much"),
        ("{% assign s = 'x' %}" + "{% assign s = s | append: s %}" * 40, "takes too much"),
        ("{% include '/etc/passwd' %}", "cannot be rendered"),
        ("{{ missing }}", "'missing' is undefined"),
        ("{{ a.__class__.__mro__ }}", "undefined"),
        ("{% if", "cannot be rendered"),
        ("{{ 1 | divided_by: 0 }}", "cannot be rendered"),
    ],
)
def test_a_template_that_is_wrong_or_takes_too_much_is_rejected(
    mailbox: Mailbox, tmp_path: Path, template: str, told: str
) -> None:
    with pytest.raises(JobRejected, match="`text`") as refused:
        send(tmp_path, text=template, template_data={"a": "x"})
    assert told in str(refused.value)
    assert [] == mailbox.messages


def test_attachments_that_are_too_large_together_are_rejected(mailbox: Mailbox, tmp_path: Path) -> None:
    job = FakeJob(tmp_path)
    job.upload(FILE, bytes(13 * 1024 * 1024))
    twice = [{"name": name, "source": FILE} for name in "ab"]

    with pytest.raises(JobRejected, match="larger than 25 MB"):
        asyncio.run(send_email(payload(attachments=twice), job))


@pytest.mark.parametrize(
    ("url", "senders", "told"),
    [
        ("http://mail.example", "a@b.example", "smtp://, smtps://"),
        ("smtp://", "a@b.example", "no host"),
        ("smtp://mail.example", "", "OFFLOAD_SMTP_FROM"),
        ("smtp://mail.example", "nobody", "neither an address"),
    ],
)
def test_a_malformed_setting_is_shown_at_start(url: str, senders: str, told: str) -> None:
    with pytest.raises(SettingsInvalid, match=told):
        load(WorkerSettings, {"OFFLOAD_SMTP_URL": url, "OFFLOAD_SMTP_FROM": senders})


def test_the_password_of_a_malformed_setting_is_not_shown() -> None:
    with pytest.raises(SettingsInvalid) as told:
        load(WorkerSettings, {"OFFLOAD_SMTP_URL": "http://user:secret@mail.example"})
    assert "secret" not in str(told.value)
