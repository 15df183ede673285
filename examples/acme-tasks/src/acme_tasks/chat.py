"""Tells Acme's chat, on a thread of a worker."""

import os

import httpx2

from acme_tasks.messages import TellChat, TellChatResult
from offload_worker.handle import JobHandle, JobRejected

#: Where the chat takes messages; a setting of the worker.
SETTING = "ACME_CHAT_URL"
PATIENCE_SECONDS = 10


def tell_chat(payload: TellChat, job: JobHandle) -> TellChatResult:
    """Say it. What fails for now raises, and is tried again later; a message that the chat refuses is rejected."""
    url = os.environ.get(SETTING)
    if not url:
        raise JobRejected(f"the worker's {SETTING} says of no chat")
    # A job may run twice, as when its worker dies behind the call: by its id the chat can tell.
    body = {"channel": payload.channel, "text": payload.text, "id": job.id}
    answer = httpx2.post(url, json=body, timeout=PATIENCE_SECONDS)
    job.log(f"the chat answered {answer.status_code}")
    if answer.is_client_error and answer.status_code != httpx2.codes.TOO_MANY_REQUESTS:
        raise JobRejected(f"the chat refused the message: {answer.status_code} {answer.text[:200]}")
    answer.raise_for_status()
    return TellChatResult(status=answer.status_code)
