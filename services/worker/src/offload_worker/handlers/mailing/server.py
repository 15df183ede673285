"""The operator's SMTP server: how to reach it, and what its answers mean for the job."""

from email.message import EmailMessage
from urllib.parse import unquote, urlsplit

import aiosmtplib
import msgspec

from offload_worker.handle import JobRejected
from offload_worker.handlers.tables.wording import quoted

ANSWER_SECONDS = 60.0
LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})


class MailDeferred(Exception):  # noqa: N818
    """The server does not take the message now: worth another try."""


class Server(msgspec.Struct, frozen=True):
    """Where it listens, and who we are there."""

    host: str
    port: int
    user: str | None
    password: str | None
    encrypted: bool  # from the first byte

    @property
    def upgraded(self) -> bool | None:
        """Whether STARTTLS is a must; None: when it is offered. No password goes over a network in the clear."""
        if self.encrypted:
            return False
        return True if self.user and self.host not in LOCAL_HOSTS else None


class Taken(msgspec.Struct, frozen=True):
    """What the server has taken."""

    accepted: list[str]
    refused: dict[str, str]
    answer: str


def server_at(url: str) -> Server:
    """Return the server that a URL of `OFFLOAD_SMTP_URL` names; the settings have looked at it."""
    parts = urlsplit(url)
    encrypted = parts.scheme == "smtps"
    return Server(
        host=parts.hostname or "",
        port=parts.port or (465 if encrypted else 587 if parts.username else 25),
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        encrypted=encrypted,
    )


async def hand_over(server: Server, message: EmailMessage, *, sender: str, recipients: list[str]) -> Taken:
    """Give a message to the server; raises `JobRejected` when it never takes it, `MailDeferred` when it may later."""
    try:
        refused, answer = await aiosmtplib.send(
            message,
            sender=sender,
            recipients=recipients,
            hostname=server.host,
            port=server.port,
            username=server.user,
            password=server.password,
            use_tls=server.encrypted,
            start_tls=server.upgraded,
            timeout=ANSWER_SECONDS,
        )
    except aiosmtplib.SMTPAuthenticationError as error:
        raise MailDeferred(f"the mail server does not take our credentials: {_said(error)}") from None
    except aiosmtplib.SMTPRecipientsRefused as error:
        words = "; ".join(f"{each.recipient}: {each.code} {each.message}" for each in error.recipients)
        if any(each.code < 500 for each in error.recipients):
            raise MailDeferred(f"the mail server refuses each recipient for now: {quoted(words, most=400)}") from None
        raise JobRejected(f"The mail server refuses each recipient: {quoted(words, most=400)}.") from None
    except aiosmtplib.SMTPResponseException as error:
        if error.code >= 500:
            raise JobRejected(f"The mail server refuses the message: {_said(error)}.") from None
        raise MailDeferred(f"the mail server does not take the message now: {_said(error)}") from None
    except aiosmtplib.SMTPNotSupported as error:
        raise JobRejected(f"The mail server cannot take such a message: {quoted(str(error), most=200)}.") from None
    except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
        raise MailDeferred(f"the mail server cannot be reached: {quoted(str(error), most=200)}") from None
    told = {name: f"{each.code} {each.message}" for name, each in refused.items()}
    return Taken([each for each in recipients if each not in refused], told, answer)


def _said(error: aiosmtplib.SMTPResponseException) -> str:
    return quoted(f"{error.code} {' '.join(error.message.split())}", most=300)
