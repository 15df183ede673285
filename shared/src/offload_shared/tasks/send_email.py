"""`send-email`: one message by SMTP, with templates and attachments."""

from typing import Annotated, Any

from msgspec import Meta, Struct

from offload_shared.tasks.task import FileSource, Payload, Result, RunsIn, Task

MOST_RECIPIENTS = 100

_IN_ONE_LINE = r"[^\x00-\x1f\x7f-\x9f]"
_IN_A_WORD = r"[^\x00-\x20\x7f-\x9f@<>]"

#: `ada@example.org`, or `Ada Lovelace <ada@example.org>`; no line ends, which would begin another header.
Address = Annotated[str, Meta(max_length=320, pattern=f"^{_IN_ONE_LINE}*{_IN_A_WORD}@{_IN_A_WORD}+>?$")]
Addresses = Annotated[tuple[Address, ...], Meta(max_length=MOST_RECIPIENTS)]
AttachmentName = Annotated[str, Meta(min_length=1, max_length=100, pattern='^[^\\x00-\\x1f\\x7f-\\x9f/\\\\"]*$')]
MediaType = Annotated[str, Meta(pattern="^[a-z]{1,20}/[A-Za-z0-9.+-]{1,80}$")]
MessageId = Annotated[str, Meta(max_length=250, pattern="^<[!-;=?-~]+>$")]
HttpsUrl = Annotated[str, Meta(max_length=2000, pattern="^https://[!-;=?-~]+$")]


class Attachment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file that goes with the message."""

    name: AttachmentName
    source: Annotated[FileSource, Meta(description="An upload, or an artifact of an earlier job.")]
    media_type: MediaType = "application/octet-stream"
    inline: Annotated[bool, Meta(description="Shown where the HTML says `cid:` and its name, and not listed.")] = False


class SendEmail(Payload, frozen=True, kw_only=True, rename={"sender": "from"}):
    """The message. At least one recipient, and `text` or `html` or both."""

    sender: Annotated[Address | None, Meta(description="One that the operator allows; left out, the operator's.")] = (
        None
    )
    to: Addresses = ()
    cc: Addresses = ()
    bcc: Addresses = ()
    reply_to: Addresses = ()
    subject: Annotated[str, Meta(min_length=1, max_length=500, pattern=f"^{_IN_ONE_LINE}*$")]
    text: Annotated[str, Meta(max_length=200_000)] | None = None
    html: Annotated[str, Meta(max_length=500_000)] | None = None
    template_data: Annotated[
        dict[str, Any] | None, Meta(description="Makes Liquid templates of `subject`, `text` and `html`.")
    ] = None
    attachments: Annotated[tuple[Attachment, ...], Meta(max_length=20)] = ()
    in_reply_to: Annotated[MessageId | None, Meta(description="The Message-ID of the message that this answers.")] = (
        None
    )
    list_unsubscribe: Annotated[HttpsUrl | None, Meta(description="Where one click unsubscribes (RFC 8058).")] = None

    def __post_init__(self) -> None:
        """Refuse a message to nobody, to too many, or of nothing."""
        recipients = len(self.to) + len(self.cc) + len(self.bcc)
        if not 1 <= recipients <= MOST_RECIPIENTS:
            raise ValueError(f"`to`, `cc` and `bcc` name {recipients} recipients; 1 to {MOST_RECIPIENTS} are taken")
        if self.text is None and self.html is None:
            raise ValueError("give `text` or `html`")
        names = [attachment.name for attachment in self.attachments]
        if len(set(names)) < len(names):
            raise ValueError("two `attachments` have the same name")


class SendEmailResult(Result, frozen=True, kw_only=True):
    """What the server has taken."""

    message_id: str
    accepted: tuple[str, ...]
    refused: dict[str, str]  # by address, what the server said
    size: int  # of the message, in bytes
    answer: str  # the server's last


SEND_EMAIL = Task(
    name="send-email",
    summary="Sends an e-mail by the operator's SMTP server, with templates and attachments.",
    payload=SendEmail,
    result=SendEmailResult,
    queue="io",
    runs_in=RunsIn.EVENT_LOOP,
    timeout_seconds=300,
    max_attempts=8,
)
