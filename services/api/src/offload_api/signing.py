"""Signs what is sent to clients' servers, as Standard Webhooks says."""

import hmac
from base64 import b64decode, b64encode
from collections.abc import Sequence

from offload_shared.webhook import SECRET_PREFIX


def signed(message_id: str, timestamp: int, content: bytes, secrets: Sequence[str]) -> dict[str, str]:
    """Return the headers of a message; `timestamp` is in seconds since the epoch, and each secret makes a signature."""
    said = b".".join((message_id.encode(), str(timestamp).encode(), content))
    keys = [b64decode(secret.removeprefix(SECRET_PREFIX)) for secret in secrets]
    signatures = [b64encode(hmac.digest(key, said, "sha256")).decode() for key in keys]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{each}" for each in signatures),
    }
