"""The message as it goes over the wire."""

from collections.abc import Callable, Sequence
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, parseaddr
from pathlib import Path

from offload_shared.tasks.send_email import Attachment, SendEmail
from offload_shared.tasks.task import FileSource
from offload_worker.handle import JobRejected
from offload_worker.handlers.mailing.texts import rendered
from offload_worker.handlers.tables.wording import quoted

MB = 1024 * 1024
#: Of all attachments; on the wire they are a third larger, and many servers take 35 MB.
MOST_ATTACHED_BYTES = 25 * MB


def make_message(
    payload: SendEmail, *, sender: str, job_id: str, fetch: Callable[[FileSource], Path]
) -> tuple[EmailMessage, list[str]]:
    """Return the message, and the addresses it goes to; raises `JobRejected`.

    Its Message-ID is the job's, at each attempt the same: whoever gets it twice can tell.
    """
    message = EmailMessage(policy=SMTP)
    own = address(sender)
    message["From"] = own
    for name, given in (("To", payload.to), ("Cc", payload.cc), ("Reply-To", payload.reply_to)):
        if given:
            message[name] = [address(each) for each in given]
    message["Subject"] = " ".join(_text(payload, "subject", payload.subject).split())
    message["Date"] = formatdate(localtime=False)
    message["Message-ID"] = f"<{job_id}@{own.domain}>"
    if payload.in_reply_to:
        message["In-Reply-To"] = message["References"] = payload.in_reply_to
    if payload.list_unsubscribe:
        message["List-Unsubscribe"] = f"<{payload.list_unsubscribe}>"
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    _add_texts(message, payload)
    _attach(message, payload.attachments, fetch)
    recipients = [address(each).addr_spec for each in (*payload.to, *payload.cc, *payload.bcc)]
    return message, list(dict.fromkeys(recipients))


def address(text: str) -> Address:
    """Return an address taken apart, its domain as DNS has it; raises `JobRejected` for what is none."""
    name, plain = parseaddr(text)
    user, at, domain = plain.rpartition("@")
    try:
        made = Address(name, user, domain.encode("idna").decode()) if at else None
    except (ValueError, UnicodeError, IndexError):
        made = None
    if made is None:
        raise JobRejected(f"{quoted(text)} is no e-mail address.")
    return made


def _text(payload: SendEmail, field: str, text: str, *, escaped: bool = False) -> str:
    if payload.template_data is None:
        return text
    return rendered(field, text, payload.template_data, escaped=escaped)


def _add_texts(message: EmailMessage, payload: SendEmail) -> None:
    if payload.text is not None:
        message.set_content(_text(payload, "text", payload.text))
    if payload.html is not None:
        html = _text(payload, "html", payload.html, escaped=True)
        if payload.text is None:
            message.set_content(html, subtype="html")
        else:
            message.add_alternative(html, subtype="html")


def _attach(message: EmailMessage, attachments: Sequence[Attachment], fetch: Callable[[FileSource], Path]) -> None:
    left = MOST_ATTACHED_BYTES
    html = next((part for part in message.walk() if part.get_content_type() == "text/html"), None)
    # What is shown within the HTML is related to it, and so has to be there before what is beside it.
    for each in sorted(attachments, key=lambda attachment: not attachment.inline):
        path = fetch(each.source)
        left -= path.stat().st_size
        if left < 0:
            raise JobRejected(f"The attachments are larger than {MOST_ATTACHED_BYTES // MB} MB, the most taken.")
        kind, _, subtype = each.media_type.partition("/")
        if each.inline and html is not None:
            html.add_related(
                path.read_bytes(), kind, subtype, cid=f"<{each.name}>", filename=each.name, disposition="inline"
            )
        else:
            message.add_attachment(path.read_bytes(), kind, subtype, filename=each.name)
