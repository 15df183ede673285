"""Jobs that were added just now: what their client is told, and who else is."""

from collections.abc import Iterable
from http import HTTPStatus

from offload_api.problems import Problem, too_many_queued
from offload_api.services import Services
from offload_shared.job import Hint, Job, JobState, NewJob
from offload_shared.store.jobs import Added


def announce(services: Services, added: Iterable[NewJob]) -> None:
    """Tell workers of new jobs that are due."""
    # A job for later is left to the relay, and so is every hint that gets lost on the way.
    services.hint([Hint(new.id, new.queue, new.priority) for new in added if not _is_later(new)])


def _is_later(new: NewJob) -> bool:
    return new.delay_seconds > 0 or new.run_at is not None or bool(new.step and new.step.after)


def job_as_added(new: NewJob, added: Added) -> Job:
    """Return what a read would, without the read: nothing but the two times was decided by the store."""
    if added.created_at is None or added.run_at is None:
        raise TypeError("a job that was not added just now has to be read")
    return Job(
        id=new.id,
        task=new.task,
        queue=new.queue,
        state=JobState.QUEUED,
        version=1,
        priority=new.priority,
        attempt=0,
        max_attempts=new.max_attempts,
        timeout_seconds=new.timeout_seconds,
        memory_limit_mb=new.memory_limit_mb,
        cpu_limit_seconds=new.cpu_limit_seconds,
        created_at=added.created_at,
        run_at=added.run_at,
        now=added.created_at if _is_later(new) else added.run_at,
        deadline_at=new.deadline_at,
        started_at=None,
        finished_at=None,
        cancel_requested=False,
        worker=None,
        progress=None,
        failure=None,
        detail=None,
        attempts=[],
        artifacts=[],
        tags=new.tags,
        parent_id=new.parent_id,
        result_ttl_seconds=new.result_ttl_seconds,
        schedule_id=new.schedule_id,
        callback_url=new.callback_url,
        flow_id=new.step.flow_id if new.step else None,
        step=new.step.name if new.step else None,
        waits_for=len(new.step.after) if new.step else 0,
    )


def require_added(services: Services, added: Added) -> None:
    """Raise `Problem` 422 or 429 where a job was not added."""
    if added.conflict:
        raise reused_key()
    if added.refused:
        raise too_many_queued(services.settings.max_queued)


def reused_key() -> Problem:
    """Return the answer to a key that an earlier request has used for another body."""
    detail = "This Idempotency-Key belongs to another body; another request needs another key."
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "idempotency-key-reused", "The key is used already", detail)
