"""How an attempt ends in the store: one way for workers that report it and for the sweeper that misses it."""

import random
from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Executable, Float, Row, bindparam, insert, select, update

from offload_shared.job import Cancelled, Failed, Failure, JobState, Outcome, Released, Succeeded, Usage
from offload_shared.store import deliveries, leftovers, steps
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


def _explained(running: Row[Any], outcome: Outcome, move: Next) -> Outcome:
    # Of a poison job somebody has to find out what it does, and where: the last attempt's record says so.
    if not (isinstance(outcome, Failed) and move.state is JobState.FAILED and move.losses):
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


def lock_running(connection: Connection, leases: Sequence[tuple[str, int]]) -> dict[tuple[str, int], Row[Any]]:
    """Return the jobs' rows, locked, of the attempts that still run; whoever asks for another is fenced."""
    asked = dict(leases)
    rows = connection.execute(_LOCKED, {"asked": sorted(asked)})
    return {(row.id, row.attempt): row for row in rows if row.attempt == asked[row.id]}


# Made once: to put it together takes longer than the database has to do for it. In one order, since two that lock the
# same would wait for each other.
_LOCKED = (
    select(job, deliveries.heard())
    .where(job.c.id.in_(bindparam("asked", expanding=True)), job.c.state == JobState.RUNNING)
    .order_by(job.c.id)
    .with_for_update(of=job)
)


class Ending(msgspec.Struct, frozen=True):
    """How the attempt of a locked running job ends; `running` is the job's row with `deliveries.heard()`."""

    running: Row[Any]
    outcome: Outcome
    usage: Usage


def end_attempts(connection: Connection, endings: Sequence[Ending]) -> list[JobState]:
    """Record how attempts of different jobs ended and move the jobs on; returns their new states, in order."""
    moves = [decide(each.running, each.outcome) for each in endings]
    told = [_explained(each.running, each.outcome, move) for each, move in zip(endings, moves, strict=True)]
    ended = list(zip(endings, moves, told, strict=True))
    _execute(connection, _RECORD, [_attempt_row(each, outcome) for each, _, outcome in ended])
    _execute(connection, insert(artifact), [row for each, _, outcome in ended for row in _artifact_rows(each, outcome)])
    changes = [(move, _change(each.running, move, outcome)) for each, move, outcome in ended]
    _execute(connection, _END, [change for move, change in changes if move.state.final])
    again = [{**change, "delay_seconds": move.delay_seconds} for move, change in changes if not move.state.final]
    _execute(connection, _TRY_AGAIN, again)
    for each, move, _ in ended:
        succeeded = each.running.attempt if move.state is JobState.SUCCEEDED else None
        # The files of an only attempt that succeeds are all named, but for the state that it may have saved.
        if move.state.final and (succeeded != 1 or each.running.checkpoint):
            leftovers.note(connection, [each.running.id], kept=succeeded)
        if move.state.final and each.running.heard:
            deliveries.add_of(connection, [each.running], move.state)
    steps.note_ends(connection, [each.running for each, move, _ in ended if move.state.final])
    return [move.state for move in moves]


def _execute(connection: Connection, statement: Executable, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(statement, rows)


def _artifact_rows(ending: Ending, outcome: Outcome) -> list[dict[str, Any]]:
    artifacts = outcome.artifacts if isinstance(outcome, Succeeded) else ()
    return [{"job_id": ending.running.id, **msgspec.structs.asdict(each)} for each in artifacts]


def _change(running: Row[Any], move: Next, outcome: Outcome) -> dict[str, Any]:
    failed = outcome if isinstance(outcome, Failed) else None
    return {
        "ended": running.id,
        "state": move.state,
        "more_errors": move.errors,
        "more_losses": move.losses,
        "progress": running.progress if move.state is JobState.SUCCEEDED else None,
        "failure": failed.failure if failed else None,
        "detail": failed.detail if failed else None,
    }


def finished_now() -> dict[str, Any]:
    """Return what changes in the row of a job that ends, whatever its end is."""
    return {"finished_at": clock(), "expires_at": clock(job.c.result_ttl_seconds)}


# These are made once, as `_LOCKED` is.
_RECORD = insert(attempt).values(finished_at=clock())
_MOVE_ON = (
    update(job)
    .where(job.c.id == bindparam("ended"))
    .values(
        state=bindparam("state"),
        version=job.c.version + 1,
        errors=job.c.errors + bindparam("more_errors"),
        losses=job.c.losses + bindparam("more_losses"),
        lease_owner=None,
        lease_until=None,
        progress=bindparam("progress"),
        failure=bindparam("failure"),
        detail=bindparam("detail"),
    )
)
_END = _MOVE_ON.values(checkpoint=None, **finished_now())
_LATER = clock(bindparam("delay_seconds", type_=Float))
_TRY_AGAIN = _MOVE_ON.values(run_at=_LATER, publish_after=_LATER, dispatches=0)


def _attempt_row(ending: Ending, outcome: Outcome) -> dict[str, Any]:
    failed = outcome if isinstance(outcome, Failed) else None
    return {
        "job_id": ending.running.id,
        "number": ending.running.attempt,
        "outcome": type(outcome).__name__.lower(),
        "failure": failed.failure if failed else None,
        "detail": failed.detail if failed else None,
        "result": outcome.result if isinstance(outcome, Succeeded) else None,
        "worker": ending.running.lease_owner,
        "started_at": ending.running.started_at,
        **msgspec.structs.asdict(ending.usage),
    }
