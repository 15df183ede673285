"""The messages of Acme's tasks: what both the API and the workers know of them. Nothing large is imported here."""

from typing import Annotated

from msgspec import Meta, Struct

from offload_shared.tasks.task import FileId, Payload, Result, RunsIn, Task

Pixels = Annotated[int, Meta(ge=16, le=4096, description="Of the longer side.")]


class Thumbnails(Payload, frozen=True, kw_only=True):
    """An uploaded picture, and the sizes it is wanted in."""

    file_id: FileId
    sizes: Annotated[tuple[Pixels, ...], Meta(min_length=1, max_length=20)] = (128, 512)


class Thumbnail(Struct, frozen=True):
    """A picture that was made; `artifact` is its name."""

    artifact: str
    width: int
    height: int


class ThumbnailsResult(Result, frozen=True, kw_only=True):
    """The pictures, in the order in which their sizes were asked for."""

    pictures: tuple[Thumbnail, ...]


class TellChat(Payload, frozen=True, kw_only=True):
    """What to say in Acme's chat."""

    channel: Annotated[str, Meta(pattern="^[a-z0-9-]{1,40}$")]
    text: Annotated[str, Meta(min_length=1, max_length=4000)]


class TellChatResult(Result, frozen=True, kw_only=True):
    """What the chat has answered."""

    status: int


TASKS = (
    Task(
        name="acme-thumbnails",
        summary="Makes small pictures of a large one.",
        payload=Thumbnails,
        result=ThumbnailsResult,
        queue="acme-pictures",
        runs_in=RunsIn.PROCESS,  # it computes, and what it reads is a stranger's
        timeout_seconds=60,
        memory_limit_mb=512,
        max_attempts=2,
    ),
    Task(
        name="acme-tell-chat",
        summary="Says something in Acme's chat.",
        payload=TellChat,
        result=TellChatResult,
        queue="acme-calls",
        runs_in=RunsIn.THREAD,  # it waits for a server
        timeout_seconds=30,
        max_attempts=8,
    ),
)
