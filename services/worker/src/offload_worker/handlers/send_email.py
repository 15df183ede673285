"""Sends one e-mail. An attempt that is lost behind the server's back may send it again, under the same Message-ID."""

import asyncio
import os
from functools import partial

from offload_shared.settings import load
from offload_shared.tasks.send_email import SendEmail, SendEmailResult
from offload_worker.handle import JobHandle, JobRejected
from offload_worker.handlers.inputs import fetched
from offload_worker.handlers.mailing.message import address, make_message
from offload_worker.handlers.mailing.server import hand_over, server_at
from offload_worker.handlers.tables.wording import listed, quoted
from offload_worker.settings import WorkerSettings


async def send_email(payload: SendEmail, job: JobHandle) -> SendEmailResult:
    """Send a message; raises `JobRejected` for one that is never taken, `MailDeferred` for one that may be later."""
    settings = load(WorkerSettings, os.environ)
    if not settings.smtp_url:
        raise JobRejected("This worker sends no e-mail: its operator has not set OFFLOAD_SMTP_URL.")
    sender = _sender(payload, settings.senders)
    job.progress(10, "Writing the message")
    # Templates compute and attachments are read: neither is for the event loop.
    make = partial(make_message, payload, sender=sender, job_id=job.id, fetch=partial(fetched, job))
    message, recipients = await asyncio.to_thread(make)
    job.progress(50, "Handing it to the mail server")
    envelope = address(sender).addr_spec
    taken = await hand_over(server_at(settings.smtp_url), message, sender=envelope, recipients=recipients)
    for recipient, said in taken.refused.items():
        job.log(f"refused: {recipient}: {said}")
    return SendEmailResult(
        message_id=str(message["Message-ID"]),  # a header object of its own kind
        accepted=tuple(taken.accepted),
        refused=taken.refused,
        size=len(await asyncio.to_thread(message.as_bytes)),
        answer=taken.answer,
    )


def _sender(payload: SendEmail, allowed: tuple[str, ...]) -> str:
    """Return who sends it: anybody of an allowed domain, or an allowed address; the first address is the default."""
    addresses = [each for each in allowed if not each.startswith("@")]
    if payload.sender is None:
        if not addresses:
            raise JobRejected("Name who sends it: `from` is not given, and OFFLOAD_SMTP_FROM names no address.")
        return addresses[0]
    plain = address(payload.sender)
    domains = {each.lower() for each in allowed if each.startswith("@")}
    exactly = {address(each).addr_spec.lower() for each in addresses}
    if plain.addr_spec.lower() in exactly or f"@{plain.domain.lower()}" in domains:
        return payload.sender
    raise JobRejected(f"`from`: {quoted(payload.sender)} may not send here; allowed are {listed(allowed)}.")
