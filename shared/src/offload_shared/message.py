"""The hint on the wire, in Dramatiq's envelope, built and read without importing Dramatiq.

Source of the format: `dramatiq.Message` and its JSON encoder; a contract test holds this module to them.
"""

import re
import time

import msgspec

from offload_shared.ids import new_id
from offload_shared.job import Hint

ACTOR = "run_job"
LARGEST_MESSAGE_BYTES = 64 * 1024

_JOB_ID = re.compile(r"[0-9a-f]{32}")


class _Envelope(msgspec.Struct):
    queue_name: str
    actor_name: str
    args: tuple[str]
    kwargs: dict[str, object]
    options: dict[str, object]
    message_id: str
    message_timestamp: int  # milliseconds since the epoch


_decoder = msgspec.json.Decoder(_Envelope)


def encode(hint: Hint) -> bytes:
    """Return the message that tells a worker of a job: its id, nothing secret, nothing large."""
    envelope = _Envelope(
        queue_name=hint.queue,
        actor_name=ACTOR,
        args=(hint.job_id,),
        kwargs={},
        options={},
        message_id=new_id(),
        message_timestamp=time.time_ns() // 1_000_000,
    )
    return msgspec.json.encode(envelope)


def decode(body: bytes) -> str:
    """Return the job id that a message names; raises `ValueError` for anything that is not a hint of ours.

    Only the id is read: queue, options and the rest of a foreign envelope never reach the worker's machinery.
    """
    if len(body) > LARGEST_MESSAGE_BYTES:
        msg = f"a message of {len(body)} bytes is no hint"
        raise ValueError(msg)
    try:
        envelope = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        msg = f"not a hint: {error}"
        raise ValueError(msg) from None
    job_id = envelope.args[0]
    if envelope.actor_name != ACTOR or not _JOB_ID.fullmatch(job_id):
        msg = f"a message for {envelope.actor_name!r} is no hint"
        raise ValueError(msg)
    return job_id
