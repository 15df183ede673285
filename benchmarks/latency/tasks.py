"""The benchmark's task as both services know it; the API imports this, so it knows nothing of the worker."""

from typing import Annotated

from msgspec import Meta

from benchmarks.latency.work import Kind
from offload_shared.tasks.task import Payload, Result, RunsIn, Task

QUEUE = "benchmark"


class Compute(Payload, frozen=True, kw_only=True):
    """What to compute, and how much of it."""

    kind: Kind
    amount: Annotated[int, Meta(ge=1)]  # iterations


class Computed(Result, frozen=True, kw_only=True):
    """What came out."""

    checksum: int


COMPUTE = Task(
    name="benchmark-compute",
    summary="Computes a fixed amount.",
    payload=Compute,
    result=Computed,
    queue=QUEUE,
    runs_in=RunsIn.PROCESS,
    timeout_seconds=300,
)

TASKS = (COMPUTE,)
