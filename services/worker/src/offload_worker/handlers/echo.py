"""Gives back what it was given."""

import asyncio

from offload_shared.tasks.echo import Echo, EchoResult
from offload_worker.handle import JobHandle


async def echo(payload: Echo, job: JobHandle) -> EchoResult:
    """Wait as long as asked, then give back the text."""
    job.progress(0, "waiting")
    await asyncio.sleep(payload.delay_seconds)
    return EchoResult(text=payload.text)
