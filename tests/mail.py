"""A real SMTP server of the tests' own, which keeps what it takes and refuses what it is told to."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword, Session

from tests.servers.ports import free_ports


class Mailbox:
    """Answers by address or at the end of the data as the test says, and with 250 otherwise."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []
        self.sessions: list[Session] = []
        self.refusals: dict[str, str] = {}
        self.at_data: list[str] = []  # answers, the first one first
        self.drops = 0  # so many connections are cut instead of an answer
        self.port = 0

    @property
    def messages(self) -> list[EmailMessage]:
        return [self._parsed(each) for each in self.envelopes]

    @staticmethod
    def _parsed(envelope: Envelope) -> EmailMessage:
        parsed = message_from_bytes(envelope.content or b"", policy=policy.default)  # type: ignore[arg-type]
        assert isinstance(parsed, EmailMessage)
        return parsed

    async def handle_RCPT(  # noqa: N802 - the library's own name
        self, server: Any, session: Session, envelope: Envelope, address: str, options: Any
    ) -> str:
        if address in self.refusals:
            return self.refusals[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.drops:
            self.drops -= 1
            server.transport.abort()
            return "250 nobody hears it"
        answer = self.at_data.pop(0) if self.at_data else "250 queued"
        if answer.startswith("2"):
            self.envelopes.append(envelope)
            self.sessions.append(session)
        return answer


@contextmanager
def receiving(
    *, tls: ssl.SSLContext | None = None, login: tuple[str, str] | None = None, **options: Any
) -> Iterator[Mailbox]:
    """Receive mail for the length of a `with` block."""
    mailbox = Mailbox()

    def authenticate(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        given = (data.login.decode(), data.password.decode()) if isinstance(data, LoginPassword) else None
        return AuthResult(success=given == login, handled=False)

    if login:
        options |= {"authenticator": authenticate, "auth_required": True, "auth_require_tls": tls is not None}
    [mailbox.port] = free_ports(1)
    controller = Controller(mailbox, hostname="127.0.0.1", port=mailbox.port, tls_context=tls, **options)
    controller.start()
    try:
        yield mailbox
    finally:
        controller.stop()
