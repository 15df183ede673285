import json
from pathlib import Path

import pytest
from dramatiq import Message

from offload_shared import message, topology
from offload_shared.ids import new_id
from offload_shared.job import Hint

GOLDEN = Path(__file__).parent / "golden" / "hint.json"
HINT = Hint("01a20b052f497630aa4b7aa2335101b4", "cpu", 5)


def test_dramatiq_reads_our_hint() -> None:
    read = Message.decode(message.encode(HINT))

    assert ("cpu", message.ACTOR, (HINT.job_id,), {}, {}) == (
        read.queue_name,
        read.actor_name,
        read.args,
        read.kwargs,
        read.options,
    )


def test_we_read_a_hint_that_dramatiq_wrote() -> None:
    written = Message("cpu", message.ACTOR, (HINT.job_id,), {}, {}).encode()

    assert HINT.job_id == message.decode(written)


def test_a_hint_still_has_the_fields_it_was_published_with() -> None:
    golden = json.loads(GOLDEN.read_text())
    now = json.loads(message.encode(HINT))

    varying = ("message_id", "message_timestamp")
    assert {name: value for name, value in golden.items() if name not in varying} == {
        name: value for name, value in now.items() if name not in varying
    }
    assert HINT.job_id == message.decode(GOLDEN.read_bytes())


ENVELOPE = {
    "queue_name": "cpu",
    "actor_name": message.ACTOR,
    "args": [HINT.job_id],
    "kwargs": {},
    "options": {},
    "message_id": "m",
    "message_timestamp": 1,
}
BAD = {
    "nothing": b"",
    "no JSON": b"\x80\x04pickle",
    "not UTF-8": b'{"queue_name": "\xff"}',
    "a list": b"[]",
    "deep nesting": b"[" * 100_000,
    "null options": json.dumps(ENVELOPE | {"options": None}).encode(),
    "no arguments": json.dumps(ENVELOPE | {"args": []}).encode(),
    "a number for an id": json.dumps(ENVELOPE | {"args": [7]}).encode(),
    "no id of ours": json.dumps(ENVELOPE | {"args": ["../../etc/passwd"]}).encode(),
    "another actor": json.dumps(ENVELOPE | {"actor_name": "os.system"}).encode(),
    "far too large": json.dumps(ENVELOPE | {"kwargs": {"x": "y" * message.LARGEST_MESSAGE_BYTES}}).encode(),
}


@pytest.mark.parametrize("body", BAD.values(), ids=BAD.keys())
def test_what_is_no_hint_is_refused_with_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"hint"):
        message.decode(body)


def test_both_services_declare_a_queue_with_the_same_arguments() -> None:
    classic = {"queue": "offload.cpu", "durable": True, "arguments": {"x-max-priority": 9}}

    assert classic == topology.queue_arguments("cpu")
    assert "quorum" == topology.queue_arguments("cpu", quorum=True)["arguments"]["x-queue-type"]


def test_ids_are_uuids_of_version_7_that_sort_by_their_time() -> None:
    ids = [new_id() for _ in range(100)]

    assert {"7"} == {each[12] for each in ids}
    assert set("89ab") >= {each[16] for each in ids}
    assert sorted(ids, key=lambda each: each[:12]) == ids
