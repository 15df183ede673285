"""What a worker and its child say to each other: length-prefixed JSON over a socket, typed, and limited in size.

Nothing a child sends is unpickled: it may have run anything.
"""

import socket
import struct

import msgspec

from offload_shared.job import Failure

#: A result may have this size in the store; frames leave room around it.
LARGEST_RESULT_BYTES = 1024 * 1024
LARGEST_FRAME_BYTES = 2 * LARGEST_RESULT_BYTES

_LENGTH = struct.Struct("!I")


class Run(msgspec.Struct, tag=True):
    """To the child: run this attempt, in this folder."""

    id: str
    attempt: int
    task: str
    payload: str
    folder: str
    memory_limit_mb: int


class FileAt(msgspec.Struct, tag=True):
    """To the child: the file or artifact it asked for belongs at this path."""

    path: str


class StateAt(msgspec.Struct, tag=True):
    """To the child: what was saved last lies at this path; None when there is nothing."""

    path: str | None


class Saved(msgspec.Struct, tag=True):
    """To the child: the state that it has written is kept."""


class Refused(msgspec.Struct, tag=True):
    """To the child: what it asked for is not to be had."""

    detail: str
    rejected: bool  # for good: the job's input names it wrongly


class Ready(msgspec.Struct, tag=True):
    """From the child: its imports are done."""


class Report(msgspec.Struct, tag=True):
    """From the child: how far it is."""

    percent: float
    message: str


class FileWanted(msgspec.Struct, tag=True):
    """From the child: fetch this uploaded file."""

    file_id: str


class ArtifactWanted(msgspec.Struct, tag=True):
    """From the child: fetch this artifact of an earlier job."""

    job_id: str
    name: str


class ArtifactNamed(msgspec.Struct, tag=True):
    """From the child: it will leave an artifact of this name."""

    name: str
    media_type: str


class StateWanted(msgspec.Struct, tag=True):
    """From the child: fetch what was saved last."""


class StateWritten(msgspec.Struct, tag=True):
    """From the child: keep the state that lies in its folder."""


class Returned(msgspec.Struct, tag=True):
    """From the child: the handler returned."""

    id: str  # of the job: what a job left behind may try to speak for the next
    attempt: int
    result: msgspec.Raw
    cpu_seconds: float
    fit: bool  # whether another job may run in this child


class Raised(msgspec.Struct, tag=True):
    """From the child: the handler did not return."""

    id: str
    attempt: int
    failure: Failure
    detail: str
    trace: str  # for the worker's log, never for a client
    cpu_seconds: float
    fit: bool


ToChild = Run | FileAt | StateAt | Saved | Refused
Asked = FileWanted | ArtifactWanted | ArtifactNamed | StateWanted | StateWritten
FromChild = Ready | Report | Asked | Returned | Raised

_to_child = msgspec.json.Decoder(ToChild)
_from_child = msgspec.json.Decoder(FromChild)


class BrokenFrame(Exception):  # noqa: N818
    """The other side sent what is no frame of ours."""


def send(connection: socket.socket, frame: ToChild | FromChild) -> None:
    """Send one frame; raises `OSError` when the other side is gone."""
    body = msgspec.json.encode(frame)
    connection.sendall(_LENGTH.pack(len(body)) + body)


def receive_to_child(connection: socket.socket) -> ToChild | None:
    """Receive, in the child, the next frame; None when the worker is gone."""
    header = _exactly(connection, _LENGTH.size)
    if header is None:
        return None
    body = _exactly(connection, _LENGTH.unpack(header)[0])
    return None if body is None else _to_child.decode(body)


def _exactly(connection: socket.socket, size: int) -> bytes | None:
    received = bytearray()
    while len(received) < size:
        chunk = connection.recv(min(size - len(received), 65536))
        if not chunk:
            return None
        received += chunk
    return bytes(received)


class FrameBuffer:
    """Puts a child's bytes together into frames, in whatever pieces they come."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    @property
    def empty(self) -> bool:
        """Whether all that came has been taken."""
        return not self._bytes

    def feed(self, chunk: bytes) -> None:
        """Add received bytes."""
        self._bytes += chunk

    def next(self) -> FromChild | None:
        """Return the next whole frame, or None until it is there; raises `BrokenFrame`."""
        if len(self._bytes) < _LENGTH.size:
            return None
        (size,) = _LENGTH.unpack_from(self._bytes)
        if size > LARGEST_FRAME_BYTES:
            raise BrokenFrame(f"a frame of {size} bytes")
        end = _LENGTH.size + size
        if len(self._bytes) < end:
            return None
        body = bytes(self._bytes[_LENGTH.size : end])
        del self._bytes[:end]
        try:
            frame: FromChild = _from_child.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BrokenFrame(str(error)) from None
        return frame
