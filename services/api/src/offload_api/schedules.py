"""Schedules as clients submit and change them, and the jobs that they describe."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import reduce
from operator import or_
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from offload_api import strictness
from offload_api.problems import FieldError, Problem, invalid, too_large
from offload_api.recurrence import (
    LONGEST_CRON,
    LONGEST_ZONE,
    NEVER,
    RecurrenceInvalid,
    next_time,
    require_cron,
    require_zone,
)
from offload_api.settings import ApiSettings
from offload_api.submissions import (
    Options,
    Submissions,
    fingerprint,
    job_errors,
    once_more,
    parsed,
    part_errors,
    said,
    unknown_task,
)
from offload_api.validation import MOST_ERRORS, field_errors
from offload_shared.ids import new_id
from offload_shared.job import NewJob
from offload_shared.keys import DEFAULT_TENANT
from offload_shared.schedule import Missed, NewSchedule, Plan, Schedule

NAME_PATTERN = r"^[^\u0000-\u001f\u007f-\u009f]{1,100}(?!\n)$"  # to Python a line feed may stand before `$`


class ScheduleBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A schedule: a job, and the times at which it is submitted again and again."""

    job: Any
    cron: Annotated[
        str,
        Meta(max_length=LONGEST_CRON, description="Minute, hour, day of month, month, day of week; or `@daily` etc."),
    ]
    timezone: Annotated[str, Meta(max_length=LONGEST_ZONE, description="Whose clock: an IANA time zone.")] = "UTC"
    missed: Annotated[
        Missed, Meta(description="What becomes of times at which nothing could run: no job, or one for all of them.")
    ] = Missed.SKIP
    paused: Annotated[bool, Meta(description="While it is, no jobs are made.")] = False
    name: Annotated[Annotated[str, Meta(pattern=NAME_PATTERN)] | None, Meta(description="A name of yours.")] = None


class Schedules:
    """Decodes schedules of the tasks there are, within what the operator allows, and makes their jobs."""

    def __init__(self, submissions: Submissions, settings: ApiSettings) -> None:
        self._submissions = submissions
        self._limit_bytes = settings.max_body_bytes
        #: The body of each job, by its task: as it is submitted, but for the times.
        self.kinds = submissions.body_types(Options, "Schedule")
        #: All of them as one type, told apart by `task`.
        self.union: Any = reduce(or_, self.kinds.values())
        self._body = msgspec.defstruct(
            "TypedScheduleBody",
            [("job", self.union)],
            bases=(ScheduleBody,),
            frozen=True,
            kw_only=True,
            forbid_unknown_fields=True,
        )
        self._decoder = msgspec.json.Decoder(self._body)
        self._job_decoder = msgspec.json.Decoder(self.union)

    def decode(self, body: bytes, idempotency_key: str | None, tenant: str = DEFAULT_TENANT) -> NewSchedule:
        """Return the schedule that a body describes; raises `Problem` 400 or 422."""
        decoded = self._decoded(body)
        return NewSchedule(
            id=new_id(),
            tenant=tenant,
            plan=_plan(decoded),
            idempotency_key=idempotency_key,
            fingerprint=fingerprint(decoded) if idempotency_key else None,
        )

    def change(self, body: bytes) -> Callable[[Schedule, datetime], tuple[Plan, datetime | None]]:
        """Return what a JSON merge patch (RFC 7396) makes of a schedule, given the store's clock; raises `Problem` 400.

        What is returned raises `Problem` 413 or 422.
        """
        strictness.require_sound(body)
        patch = parsed(body)

        def changed(schedule: Schedule, now: datetime) -> tuple[Plan, datetime | None]:
            changes = merged(_document(schedule.plan), patch)
            if isinstance(patch, dict):  # what is no member is refused also with null, which would take nothing away
                changes |= {name: patch[name] for name in patch.keys() - set(ScheduleBody.__struct_fields__)}
            whole = msgspec.json.encode(changes)
            if len(whole) > self._limit_bytes:
                raise too_large(self._limit_bytes)
            plan = _plan(self._decoded(whole))
            same_times = (plan.cron, plan.timezone) == (schedule.plan.cron, schedule.plan.timezone)
            if same_times and schedule.next_run_at is not None:
                return plan, schedule.next_run_at
            return plan, first_time(plan, now)

        return changed

    def new_job(self, schedule: Schedule, at: datetime) -> NewJob:
        """Return the job of a schedule's time, as it can be submitted today; raises `Problem` 404 or 422.

        The same time's job has the same key, which no client's own can be: no client's has a line feed in it.
        """
        body = schedule.plan.job.encode()
        try:
            options = self._job_decoder.decode(body)
        except msgspec.ValidationError:
            errors = job_errors(parsed(body), self.kinds)
            raise (unknown_task() if errors is None else invalid(errors)) from None
        if refused := list(self._submissions.bad_callback(options)):
            raise invalid(refused)
        return self._submissions.new_job(
            options,
            tenant=schedule.tenant,
            run_at=at,
            schedule_id=schedule.id,
            idempotency_key=f"schedule {schedule.id}\n{at.astimezone(UTC).isoformat()}",
            fingerprint=f"schedule {schedule.id}",
        )

    def _decoded(self, body: bytes) -> Any:
        strictness.require_sound(body)
        try:
            decoded: Any = self._decoder.decode(body)
        except (msgspec.DecodeError, RecursionError):
            decoded = once_more(body, self._body, self._refusal)
        strictness.require_printable(body)
        bad_callback = self._submissions.bad_callback(decoded.job)
        if errors := [*_bad_times(decoded), *(FieldError(f"/job{each.pointer}", each.detail) for each in bad_callback)]:
            raise invalid(errors)
        return decoded

    def _refusal(self, value: Any) -> Problem:
        errors = field_errors(value, ScheduleBody)
        if isinstance(value, dict) and "job" in value:
            errors += part_errors(value["job"], self.kinds, "/job")
        return invalid(errors[:MOST_ERRORS])


def first_time(plan: Plan, now: datetime) -> datetime:
    """Return a schedule's first time after this moment; raises `Problem` 422 when there is none."""
    found = next_time(plan.cron, plan.timezone, now)
    if found is None:
        raise invalid([FieldError("/cron", NEVER)])
    return found


def merged(target: Any, patch: Any) -> Any:
    """Return what a JSON merge patch (RFC 7396) makes of a JSON value."""
    if not isinstance(patch, dict):
        return patch
    changed = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            changed.pop(name, None)
        else:
            changed[name] = merged(changed.get(name), value)
    return changed


def _plan(body: Any) -> Plan:
    return Plan(
        job=msgspec.json.encode(said(body.job)).decode(),
        cron=body.cron,
        timezone=body.timezone,
        missed=body.missed,
        paused=body.paused,
        name=body.name,
    )


def _document(plan: Plan) -> Any:
    return msgspec.to_builtins(replace(plan, job="")) | {"job": msgspec.json.decode(plan.job)}


def _bad_times(body: Any) -> Iterator[FieldError]:
    for require, name in ((require_cron, "cron"), (require_zone, "timezone")):
        try:
            require(getattr(body, name))
        except RecurrenceInvalid as error:
            yield FieldError(f"/{name}", str(error))
