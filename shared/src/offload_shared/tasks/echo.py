"""`echo`: gives back what it was given; proves the whole path to a monitor, and measures it."""

from typing import Annotated

from msgspec import Meta

from offload_shared.tasks.task import Payload, Result, RunsIn, Task


class Echo(Payload, frozen=True, kw_only=True):
    """What to give back, and after how long."""

    text: Annotated[str, Meta(max_length=10_000, description="Text to give back.")] = ""
    delay_seconds: Annotated[float, Meta(ge=0, le=3600, description="How long to wait first.")] = 0.0


class EchoResult(Result, frozen=True, kw_only=True):
    """What was given."""

    text: str


ECHO = Task(
    name="echo",
    summary="Gives back a text, after a delay if asked to: a probe of the whole path from request to result.",
    payload=Echo,
    result=EchoResult,
    queue="io",
    runs_in=RunsIn.EVENT_LOOP,
    timeout_seconds=3660,
)
