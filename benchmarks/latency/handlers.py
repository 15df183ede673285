"""The benchmark's task as the worker runs it, in a child process."""

from benchmarks.latency.tasks import Compute, Computed
from benchmarks.latency.work import compute
from offload_worker.handle import JobHandle


def run(payload: Compute, job: JobHandle) -> Computed:  # noqa: ARG001 - every handler takes the handle
    """Compute what the payload asks for."""
    return Computed(checksum=compute(payload.kind, payload.amount))
