"""Adds the jobs of schedules whose time has come; any number of API processes do so side by side, with no leader."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec

from offload_api.problems import Problem, too_many_queued
from offload_api.recurrence import RecurrenceInvalid, next_time
from offload_api.schedules import Schedules
from offload_api.views import JobError
from offload_shared.job import NewJob
from offload_shared.schedule import Missed, Schedule, Turn
from offload_shared.store import schedules as store
from offload_shared.store.database import Database

#: A time that is over for as long counts as missed: so long may a restart of every API process take, and no time is.
ON_TIME = timedelta(seconds=60)

_log = logging.getLogger(__name__)


class Scheduler:
    """Takes what is due each time it is told to."""

    def __init__(self, database: Database, schedules: Schedules, *, max_queued: int = 0) -> None:
        self._database = database
        self._schedules = schedules
        self._max_queued = max_queued
        self._refusal = _kept(too_many_queued(max_queued))

    def step(self) -> int:
        """Let each schedule whose time has come have its job; returns how many turns were taken.

        A job is hinted at by the relay. Raises `StoreUnavailable`.
        """
        total = 0
        while taken := store.fire_due(self._database, self._turn, max_queued=self._max_queued, refusal=self._refusal):
            total += taken
        return total

    def _turn(self, schedule: Schedule, now: datetime) -> Turn:
        return turn(schedule, now, self._schedules.new_job)


def turn(schedule: Schedule, now: datetime, new_job: Callable[[Schedule, datetime], NewJob]) -> Turn:
    """Return what comes of a schedule's time, which is not after `now`; never raises.

    Of times that were missed there is one job, which is the first one's, or none. What goes wrong with a schedule is
    kept with it, and is no other's affair.
    """
    due = schedule.next_run_at or now
    missed_until = now - ON_TIME
    try:
        following = next_time(schedule.plan.cron, schedule.plan.timezone, max(due, missed_until))
    except Exception as error:  # noqa: BLE001 - it would be raised again and again, and all the others wait
        return Turn(job=None, next_run_at=None, error=_problem(schedule, error))
    if due <= missed_until and schedule.plan.missed is Missed.SKIP:
        return Turn(job=None, next_run_at=following, error=schedule.error)
    try:
        return Turn(job=new_job(schedule, due), next_run_at=following)
    except Exception as error:  # noqa: BLE001
        return Turn(job=None, next_run_at=following, error=_problem(schedule, error))


def _kept(problem: Problem) -> str:
    details = problem.details
    return msgspec.json.encode(JobError(details.type, details.title, details.detail)).decode()


def _problem(schedule: Schedule, error: Exception) -> str:
    match error:
        case Problem():
            return _kept(error)
        case RecurrenceInvalid():  # a time zone that was given up since
            shown = JobError("/problems/invalid", "The schedule is not valid any more", f"its time {error}")
        case _:
            _log.error("the turn of schedule %s failed", schedule.id, exc_info=error)
            shown = JobError("/problems/internal", "Internal server error", "Something went wrong; the log says what.")
    return msgspec.json.encode(shown).decode()
