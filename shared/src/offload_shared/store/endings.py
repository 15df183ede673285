"""How an attempt ends in the store: one way for workers that report it and for the sweeper that misses it."""

import random
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, bindparam, insert, select, update

from offload_shared.job import Cancelled, Failed, Failure, JobState, Outcome, Released, Succeeded, Usage
from offload_shared.store import deliveries, leftovers
from offload_shared.store.clock import clock
from offload_shared.store.schema import artifact, attempt, job

#: Attempts that died with their child or worker before the job counts as poison.
MOST_LOSSES = 3
SHORTEST_BACKOFF_SECONDS = 1.0
LONGEST_BACKOFF_SECONDS = 3600.0


class Next(msgspec.Struct, frozen=True):
    """What the end of an attempt makes of its job."""

    state: JobState
    delay_seconds: float = 0.0  # of the next attempt
    errors: int = 0  # added to the job's counts
    losses: int = 0


def decide(running: Row[Any], outcome: Outcome) -> Next:  # noqa: PLR0911 - a return an ending
    """Return what becomes of a running job whose attempt ended so.

    Success stands, also against a cancel that came too late to stop it; every other end of a job that its client
    wants cancelled makes it cancelled. Errors, crashes and losses are tried again within their limits; time, memory
    and refusals would end the same way again, and are final.
    """
    match outcome:
        case Succeeded():
            return Next(JobState.SUCCEEDED)
        case Cancelled():
            return Next(JobState.CANCELLED)
        case _ if running.cancel_requested:
            return Next(JobState.CANCELLED)
        case Released():
            return Next(JobState.QUEUED)
        case Failed(failure=Failure.ERROR):
            errors = running.errors + 1
            return _again(errors < running.max_attempts, errors, Next(JobState.FAILED, errors=1))
        case Failed(failure=Failure.CRASHED | Failure.LOST):
            losses = running.losses + 1
            return _again(losses < MOST_LOSSES, losses, Next(JobState.FAILED, losses=1))
        case Failed():
            return Next(JobState.FAILED)


def _explained(running: Row[Any], outcome: Outcome, step: Next) -> Outcome:
    # Of a poison job somebody has to find out what it does, and where: the last attempt's record says so.
    if not (isinstance(outcome, Failed) and step.state is JobState.FAILED and step.losses):
        return outcome
    end = f"not tried again after {MOST_LOSSES} attempts that crashed or were lost; the last, attempt {running.attempt}"
    return Failed(outcome.failure, f"{end} on worker {running.lease_owner}: {outcome.detail}")


def _again(allowed: bool, times: int, end: Next) -> Next:  # noqa: FBT001
    if not allowed:
        return end
    return Next(JobState.QUEUED, _backoff_seconds(times), end.errors, end.losses)


def _backoff_seconds(times: int) -> float:
    # Exponential with full jitter, so that jobs which failed together do not come back together.
    longest = min(LONGEST_BACKOFF_SECONDS, SHORTEST_BACKOFF_SECONDS * 2.0 ** min(times, 20))
    return random.uniform(0, longest)  # noqa: S311 - spreads load, guards nothing


def lock_running(connection: Connection, job_id: str, attempt_number: int) -> Row[Any] | None:
    """Return the job's row, locked, when this very attempt still runs; None fences whoever asks."""
    return connection.execute(_LOCKED, {"asked": job_id, "number": attempt_number}).one_or_none()


# Made once: to put it together takes longer than the database has to do for it.
_LOCKED = (
    select(job, deliveries.heard())
    .where(job.c.id == bindparam("asked"), job.c.attempt == bindparam("number"), job.c.state == JobState.RUNNING)
    .with_for_update(of=job)
)


def end_attempt(connection: Connection, running: Row[Any], outcome: Outcome, usage: Usage) -> JobState:
    """Record how the attempt of a locked running job ended and move the job on; returns its new state.

    `running` is the job's row with `deliveries.heard()`.
    """
    step = decide(running, outcome)
    outcome = _explained(running, outcome, step)
    failed = outcome if isinstance(outcome, Failed) else None
    _record_attempt(connection, running, outcome, usage)
    if isinstance(outcome, Succeeded) and outcome.artifacts:
        rows = [{"job_id": running.id, **msgspec.structs.asdict(each)} for each in outcome.artifacts]
        connection.execute(insert(artifact), rows)
    change = {
        "state": step.state,
        "version": job.c.version + 1,
        "errors": job.c.errors + step.errors,
        "losses": job.c.losses + step.losses,
        "lease_owner": None,
        "lease_until": None,
        "progress": running.progress if step.state is JobState.SUCCEEDED else None,
        "failure": failed.failure if failed else None,
        "detail": failed.detail if failed else None,
    }
    if step.state.final:
        change |= finished_now()
    else:
        change |= {"run_at": clock(step.delay_seconds), "publish_after": clock(step.delay_seconds), "dispatches": 0}
    connection.execute(update(job).where(job.c.id == running.id).values(change))
    succeeded = running.attempt if step.state is JobState.SUCCEEDED else None
    if step.state.final and succeeded != 1:  # the files of an only attempt that succeeds are all named
        leftovers.note(connection, [running.id], kept=succeeded)
    if step.state.final and running.heard:
        deliveries.add_of(connection, [running], step.state)
    return step.state


def finished_now() -> dict[str, Any]:
    """Return what changes in the row of a job that ends, whatever its end is."""
    return {"finished_at": clock(), "expires_at": clock(job.c.result_ttl_seconds)}


def _record_attempt(connection: Connection, running: Row[Any], outcome: Outcome, usage: Usage) -> None:
    failed = outcome if isinstance(outcome, Failed) else None
    connection.execute(
        insert(attempt).values(
            job_id=running.id,
            number=running.attempt,
            outcome=type(outcome).__name__.lower(),
            failure=failed.failure if failed else None,
            detail=failed.detail if failed else None,
            result=outcome.result if isinstance(outcome, Succeeded) else None,
            worker=running.lease_owner,
            started_at=running.started_at,
            finished_at=clock(),
            **msgspec.structs.asdict(usage),
        )
    )
