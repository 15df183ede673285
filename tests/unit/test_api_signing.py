from base64 import b64encode
from datetime import UTC, datetime

import pytest
import standardwebhooks

from offload_api.signing import signed
from offload_shared.webhook import SECRET_PREFIX, new_secret


def test_the_example_of_the_standard_is_signed_as_the_standard_says() -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

    headers = signed("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}', [secret])

    assert {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    } == headers


def test_each_secret_makes_a_signature_that_the_public_library_verifies() -> None:
    secrets = [new_secret(), new_secret()]
    content = '{"text":"grüße"}'.encode()

    headers = signed("a-1", int(datetime.now(UTC).timestamp()), content, secrets)

    for secret in secrets:
        assert {"text": "grüße"} == standardwebhooks.Webhook(secret).verify(content, headers)
    for other in (new_secret(), SECRET_PREFIX + b64encode(b"x" * 24).decode()):
        with pytest.raises(standardwebhooks.WebhookVerificationError):
            standardwebhooks.Webhook(other).verify(content, headers)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(secrets[0]).verify(content + b" ", headers)


def test_no_two_secrets_are_the_same() -> None:
    assert 100 == len({new_secret() for _ in range(100)})
