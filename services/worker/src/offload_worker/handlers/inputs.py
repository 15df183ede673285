"""The files a handler works on, wherever they come from."""

from pathlib import Path

from offload_shared.tasks.task import ArtifactRef, FileSource
from offload_worker.handle import JobHandle


def fetched(job: JobHandle, source: FileSource) -> Path:
    """Fetch an uploaded file or an earlier job's artifact; raises `JobRejected` when there is none."""
    if isinstance(source, ArtifactRef):
        return job.artifact_of(source.job, source.name)
    return job.file(source)
