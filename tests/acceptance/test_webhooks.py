"""Claims about who is told of a job's end, with services and workers as their users run them."""

from collections.abc import Iterator

import pytest

from tests.acceptance.conftest import EMBEDDED_AND_WHOLE
from tests.acceptance.stack import Stack
from tests.receiver import Receiver, receiving

pytestmark = pytest.mark.parametrize("stack", EMBEDDED_AND_WHOLE, indirect=True)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as server:
        yield server


@pytest.fixture
def told(stack: Stack) -> Stack:
    """Give services that may call this machine."""
    stack.environment |= {"OFFLOAD_OUTBOUND_NETWORKS": "127.0.0.0/8", "OFFLOAD_WEBHOOK_RETRY_SECONDS": "0.2"}
    stack.start_api()
    stack.start_worker()
    return stack


def test_whoever_asked_for_it_is_told_of_each_end_whatever_it_is(told: Stack, receiver: Receiver) -> None:
    made = told.ask("POST", "/v1/webhooks", json={"url": receiver.url()}).json()
    receiver.answers += [500, 503]

    ids = {
        told.probe("return"): "succeeded",
        told.probe("raise"): "failed",
        told.submit("echo", {"text": "hello"}, callback_url=receiver.url("/callback")): "succeeded",
        told.probe("sleep", seconds=600): "cancelled",
    }
    for job_id, state in ids.items():
        if state == "cancelled":
            told.cancel(job_id)

    for job_id, state in ids.items():
        message = next(each for each in receiver.of(job_id) if each.path == "/hook")
        said = message.verified(made["secret"])
        assert (f"job.{state}", told.ended(job_id)) == (said["type"], said["data"]["job"])


def test_what_ends_while_no_api_is_there_is_told_once_one_is(told: Stack, receiver: Receiver) -> None:
    told.ask("POST", "/v1/webhooks", json={"url": receiver.url()}).raise_for_status()
    job_id = told.probe("sleep", seconds=2)
    told.reports(job_id)

    told.processes[0].kill()
    assert [] == receiver.messages
    told.start_api()

    told.ended(job_id)
    assert [f"{job_id}-succeeded"] == [message.id for message in receiver.of(job_id)]
