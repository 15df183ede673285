"""Schedules as clients see them."""

from datetime import datetime
from typing import Any

import msgspec

from offload_api.views import JobError, job_path, schedule_path
from offload_shared.schedule import Missed, Schedule


class ScheduleLinks(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where to go from here."""

    self: str
    jobs: str
    last_job: str | None = None


class ScheduleView(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule; `error` is the problem that kept its last time from becoming a job."""

    id: str
    name: str | None
    job: Any
    cron: str
    timezone: str
    missed: Missed
    paused: bool
    created_at: datetime
    next_run_at: datetime | None
    last_run_at: datetime | None
    last_job_id: str | None
    error: JobError | None
    links: ScheduleLinks


class ScheduleList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of schedules, the newest first; `next_page_token` is null on the last."""

    schedules: list[ScheduleView]
    next_page_token: str | None


def schedule_view(schedule: Schedule) -> ScheduleView:
    """Return what a client is shown of a schedule; one that is paused has no next time."""
    plan = schedule.plan
    return ScheduleView(
        id=schedule.id,
        name=plan.name,
        job=msgspec.Raw(plan.job.encode()),
        cron=plan.cron,
        timezone=plan.timezone,
        missed=plan.missed,
        paused=plan.paused,
        created_at=schedule.created_at,
        next_run_at=None if plan.paused else schedule.next_run_at,
        last_run_at=schedule.last_run_at,
        last_job_id=schedule.last_job_id,
        error=msgspec.json.decode(schedule.error, type=JobError) if schedule.error else None,
        links=ScheduleLinks(
            self=schedule_path(schedule.id),
            jobs=f"/v1/jobs?schedule_id={schedule.id}",
            last_job=job_path(schedule.last_job_id) if schedule.last_job_id else None,
        ),
    )
