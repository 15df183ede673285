"""Submitted jobs: the typed body `POST /v1/jobs` takes, one type a task, and how it becomes a row of the store."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache, reduce
from http import HTTPStatus
from itertools import islice
from operator import or_
from typing import Annotated, Any, Protocol, TypeVar, cast

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from offload_api import strictness
from offload_api.problems import FieldError, Problem, invalid, malformed
from offload_api.settings import ApiSettings
from offload_api.validation import MOST_ERRORS, field_errors, whole_numbers
from offload_shared.errors import AddressRefused
from offload_shared.ids import new_id
from offload_shared.job import NewJob
from offload_shared.keys import DEFAULT_TENANT
from offload_shared.outbound import LONGEST_URL, Guard
from offload_shared.tasks.task import Task

#: Between these every database, driver and time zone can hold a time.
EARLIEST, LATEST = datetime(1970, 1, 2, tzinfo=UTC), datetime(3000, 1, 1, tzinfo=UTC)
LONGEST_DELAY_SECONDS = 10 * 366 * 86_400

MOST_TAGS = 20
MOST_IN_BATCH = 1000

#: What has limits of the work.
Limited = TypeVar("Limited", Task, NewJob)
#: The body of a job of one task.
Body = TypeVar("Body", bound="Options")

#: What may lead to a server; whether it does, and may be called, the guard says.
URL_PATTERN = r"^[Hh][Tt][Tt][Pp][Ss]?://[A-Za-z0-9._:\[\]-]+([/?#][\u0021-\u007e]*)?(?!\n)$"
Url = Annotated[str, Meta(max_length=LONGEST_URL, pattern=URL_PATTERN)]

Moment = Annotated[datetime, Meta(tz=True)]
RunAt = Annotated[Moment | None, Meta(description="Not before this time (RFC 3339, with its zone).")]
DelaySeconds = Annotated[
    Annotated[float, Meta(ge=0, le=LONGEST_DELAY_SECONDS)] | None,
    Meta(description="Not before so many seconds from now; instead of `run_at`."),
]
Tag = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/=@-]*(?!\n)$")]


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The options that any job has, whenever it runs. The payload is each task's own."""

    payload: Any
    priority: Annotated[int, Meta(ge=0, le=9, description="9 goes before 0.")] = 0
    timeout_seconds: float | None = None
    memory_limit_mb: int | None = None
    cpu_limit_seconds: float | None = None
    max_attempts: int | None = None
    result_ttl_seconds: Annotated[
        Annotated[float, Meta(gt=0, le=LONGEST_DELAY_SECONDS)] | None,
        Meta(description="The job is kept so long once it has ended; without, until it is deleted."),
    ] = None
    tags: Annotated[list[Tag], Meta(max_length=MOST_TAGS, description="Words of yours to find the job by.")] = []
    callback_url: Annotated[Url | None, Meta(description="Told of the job's end, by a signed POST.")] = None


class Submission(Options, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The base of every task's body: the options of a job that is submitted to run once."""

    run_at: RunAt = None
    delay_seconds: DelaySeconds = None
    deadline: Annotated[Moment | None, Meta(description="The job fails if it has not started by then.")] = None


class Timed(Protocol):
    """What may have times."""

    @property
    def run_at(self) -> datetime | None:
        """When it may begin."""

    @property
    def delay_seconds(self) -> float | None:
        """The same, from now on."""

    @property
    def deadline(self) -> datetime | None:
        """When it has to have begun."""


class _Named(msgspec.Struct):
    task: str


class _Batched(msgspec.Struct, forbid_unknown_fields=True):
    jobs: Annotated[list[Any], Meta(min_length=1, max_length=MOST_IN_BATCH)]


class Submissions:
    """Decodes submitted jobs of the tasks there are, within what the operator allows."""

    def __init__(self, tasks: Mapping[str, Task], settings: ApiSettings) -> None:
        self._settings = settings
        self.guard = Guard(settings.allowed_networks)
        #: Their limits within the operator's.
        self.tasks = {name: _within_bounds(task, settings) for name, task in tasks.items()}
        self.kinds = self.body_types(Submission, "Submit")
        #: All of them as one type, told apart by `task`.
        self.union: Any = reduce(or_, self.kinds.values())
        #: The body of a batch.
        self.batch = batch_type(self.union)
        self._decoder = msgspec.json.Decoder(self.union)
        self._batch_decoder = msgspec.json.Decoder(self.batch)

    def body_types(self, base: type[Body], prefix: str, payload: Any = None) -> dict[str, type[Body]]:
        """Return, by the name of each task, the type of a job's body that has the options of `base`.

        `payload` takes the place of each task's own.
        """
        return {name: body_type(task, self._settings, base, prefix, payload) for name, task in self.tasks.items()}

    def decode(self, body: bytes, idempotency_key: str | None, tenant: str = DEFAULT_TENANT) -> NewJob:
        """Return the job that a body describes; raises `Problem` 400, 404 or 422."""
        strictness.require_sound(body)
        try:
            submission = self._decoder.decode(body)
        except (msgspec.DecodeError, RecursionError):
            submission = once_more(body, self.union, self._refusal)
        strictness.require_printable(body)
        if errors := [*contradictions(submission), *self.bad_callback(submission)]:
            raise invalid(errors)
        return self._new_job(submission, idempotency_key, tenant)

    def decode_batch(self, body: bytes, idempotency_key: str | None, tenant: str = DEFAULT_TENANT) -> list[NewJob]:
        """Return the jobs that a batch describes; raises `Problem` 400 or 422.

        Each gets a key of its own, made of the batch's, and the whole batch's fingerprint: a repeat finds them all.
        """
        strictness.require_sound(body)
        try:
            batch: Any = self._batch_decoder.decode(body)
        except (msgspec.DecodeError, RecursionError):
            batch = once_more(body, self.batch, self._batch_refusal)
        strictness.require_printable(body)
        if errors := [
            FieldError(f"/jobs/{index}{error.pointer}", error.detail)
            for index, each in enumerate(batch.jobs)
            for error in (*contradictions(each), *self.bad_callback(each))
        ]:
            raise invalid(errors[:MOST_ERRORS])
        made = [self._new_job(each, None, tenant) for each in batch.jobs]
        if idempotency_key is None:
            return made
        keys = hashlib.sha256(idempotency_key.encode()).hexdigest()
        whole = fingerprint(batch)
        # No client's own key has a line feed in it.
        return [replace(each, idempotency_key=f"{keys}\n{index}", fingerprint=whole) for index, each in enumerate(made)]

    def bad_callback(self, options: Options) -> Iterator[FieldError]:
        """Return what is wrong with who is to be told of a job's end, as far as that can be told without asking."""
        if options.callback_url is not None:
            yield from bad_url(self.guard, options.callback_url, "/callback_url")

    def renewed(self, new: NewJob) -> NewJob:
        """Return a job that repeats an earlier one as the task and the operator have it now; raises `Problem` 404."""
        task = self.tasks.get(new.task)
        if task is None:
            raise unknown_task()
        return replace(_within_bounds(new, self._settings), task_version=task.version, queue=task.queue)

    def _batch_refusal(self, value: Any) -> Problem:
        if errors := field_errors(value, _Batched):
            return invalid(errors)
        return invalid(list(islice(self._batch_errors(value["jobs"]), MOST_ERRORS)))

    def _batch_errors(self, jobs: list[Any]) -> Iterator[FieldError]:
        for index, value in enumerate(jobs):
            yield from part_errors(value, self.kinds, f"/jobs/{index}")

    def _new_job(self, submission: Submission, idempotency_key: str | None, tenant: str) -> NewJob:
        return self.new_job(
            submission,
            tenant=tenant,
            delay_seconds=submission.delay_seconds or 0.0,
            run_at=submission.run_at,
            deadline_at=submission.deadline,
            idempotency_key=idempotency_key,
            fingerprint=fingerprint(submission) if idempotency_key else None,
        )

    def new_job(self, options: Options, **more: Any) -> NewJob:
        """Return a job with these options; `more` are fields of it that are no options of its body."""
        task = self.tasks[str(options.__struct_config__.tag)]
        return NewJob(
            id=new_id(),
            task=task.name,
            task_version=task.version,
            queue=task.queue,
            payload=msgspec.json.encode(options.payload).decode(),
            priority=options.priority,
            timeout_seconds=options.timeout_seconds or task.timeout_seconds,
            memory_limit_mb=options.memory_limit_mb or task.memory_limit_mb,
            cpu_limit_seconds=options.cpu_limit_seconds or task.cpu_limit_seconds,
            max_attempts=options.max_attempts or task.max_attempts,
            result_ttl_seconds=options.result_ttl_seconds,
            tags=tuple(dict.fromkeys(options.tags)),
            callback_url=options.callback_url,
            **more,
        )

    def _refusal(self, value: Any) -> Problem:
        errors = job_errors(value, self.kinds)
        return unknown_task() if errors is None else invalid(errors)


def bad_url(guard: Guard, url: str, pointer: str) -> Iterator[FieldError]:
    """Return what is wrong with a client's URL, at this pointer."""
    try:
        guard.require_url(url)
    except AddressRefused as error:
        yield FieldError(pointer, str(error))


def job_errors(value: Any, kinds: Mapping[str, type[Options]]) -> list[FieldError] | None:
    """Return what is wrong with a job's body, decoded JSON, or None when it names no task there is.

    `kinds` has the type of the body by the task's name.
    """
    if errors := field_errors(value, _Named):
        return errors
    kind = kinds.get(value["task"])
    return field_errors(value, kind) if kind else None


def part_errors(value: Any, kinds: Mapping[str, type[Options]], pointer: str) -> list[FieldError]:
    """Return what is wrong with a job's body that is a part of another, at this pointer."""
    errors = job_errors(value, kinds)
    if errors is None:
        errors = [FieldError("/task", "names no task there is")]
    return [FieldError(f"{pointer}{error.pointer}", error.detail) for error in errors]


def once_more(body: bytes, kind: Any, refusal: Callable[[Any], Problem]) -> Any:
    """Decode a body that was refused at first, for it may have written whole numbers with a point.

    Raises `Problem` 400, and what `refusal` returns of decoded JSON that is no `kind`.
    """
    value = whole_numbers(parsed(body))
    try:
        return msgspec.convert(value, kind, str_keys=True)
    except msgspec.ValidationError:
        raise refusal(value) from None


def parsed(body: bytes) -> Any:
    """Return what JSON says; raises `Problem` 400."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise malformed(f"The body is not JSON: {error}.") from None


def _within_bounds(limited: Limited, settings: ApiSettings) -> Limited:
    # What the operator allows holds for a task's own defaults too.
    cpu = limited.cpu_limit_seconds
    return replace(
        limited,
        timeout_seconds=min(limited.timeout_seconds, settings.max_timeout_seconds),
        memory_limit_mb=min(limited.memory_limit_mb, settings.max_memory_limit_mb),
        cpu_limit_seconds=None if cpu is None else min(cpu, settings.max_cpu_limit_seconds),
        max_attempts=min(limited.max_attempts, settings.max_attempts_limit),
    )


def body_type(task: Task, settings: ApiSettings, base: type[Body], prefix: str, payload: Any = None) -> type[Body]:
    """Return the type of the body that describes a job of this task, with the options of `base`."""
    longest = Meta(gt=0, le=settings.max_timeout_seconds, description=f"Instead of {task.timeout_seconds:g}.")
    largest = Meta(ge=1, le=settings.max_memory_limit_mb, description=f"Instead of {task.memory_limit_mb}.")
    cpu_default = "no limit but the timeout" if task.cpu_limit_seconds is None else f"{task.cpu_limit_seconds:g}"
    hardest = Meta(gt=0, le=settings.max_cpu_limit_seconds, description=f"Instead of {cpu_default}.")
    most = Meta(ge=1, le=settings.max_attempts_limit, description=f"Instead of {task.max_attempts}.")
    made = msgspec.defstruct(
        _type_name(prefix, task),
        [
            ("payload", payload or task.payload),
            ("timeout_seconds", Annotated[float, longest] | None, None),
            ("memory_limit_mb", Annotated[int, largest] | None, None),
            ("cpu_limit_seconds", Annotated[float, hardest] | None, None),
            ("max_attempts", Annotated[int, most] | None, None),
        ],
        bases=(base,),
        namespace={"__doc__": task.summary},
        tag_field="task",
        tag=task.name,
        frozen=True,
        kw_only=True,
        forbid_unknown_fields=True,
    )
    return cast("type[Body]", made)


def batch_type(submission: Any) -> type[msgspec.Struct]:
    """Return the type of the body that submits many jobs of these types together."""
    jobs: Any = Annotated[list[submission], Meta(min_length=1, max_length=MOST_IN_BATCH)]
    return msgspec.defstruct(
        "Batch",
        [("jobs", jobs)],
        namespace={"__doc__": "Jobs that are submitted together: all, or none."},
        frozen=True,
        forbid_unknown_fields=True,
    )


def contradictions(timed: Timed) -> Iterator[FieldError]:
    """Return what is wrong with times."""
    for name, moment in (("run_at", timed.run_at), ("deadline", timed.deadline)):
        if moment is not None and not EARLIEST <= moment <= LATEST:
            yield FieldError(f"/{name}", f"is not between the years {EARLIEST.year} and {LATEST.year}")
    if timed.run_at is None:
        return
    if timed.delay_seconds is not None:
        yield FieldError("/delay_seconds", "excludes `run_at`")
    if timed.deadline is not None and timed.deadline <= timed.run_at:
        yield FieldError("/deadline", "is not after `run_at`")


def _type_name(prefix: str, task: Task) -> str:
    return prefix + "".join(word.capitalize() for word in task.name.split("-"))


def fingerprint(body: msgspec.Struct) -> str:
    """Return what tells a body from one that says anything else, however it is written."""
    return hashlib.sha256(msgspec.json.encode(said(body), order="deterministic")).hexdigest()


def said(value: Any) -> Any:
    """Return what a body says, as JSON has it: without what is the default."""
    # What a later version adds must not make another body of one that does not speak of it.
    if isinstance(value, list | tuple):
        return [said(each) for each in value]
    if isinstance(value, dict):
        return {name: said(each) for name, each in value.items()}
    if not isinstance(value, msgspec.Struct):
        return value
    fields = ((encoded, getattr(value, name), default) for name, encoded, default in _defaults(type(value)))
    spoken_of = {encoded: said(each) for encoded, each, default in fields if each != default}
    tag = value.__struct_config__.tag
    return spoken_of if tag is None else {str(value.__struct_config__.tag_field): tag, **spoken_of}


@cache
def _defaults(kind: type[msgspec.Struct]) -> list[tuple[str, str, Any]]:
    # To look at a type's fields takes longer than all else that becomes of a submission.
    return [
        (
            each.name,
            each.encode_name,
            each.default if each.default_factory is msgspec.NODEFAULT else each.default_factory(),
        )
        for each in msgspec.structs.fields(kind)
    ]


def unknown_task() -> Problem:
    """Return the answer to a task's name that is none."""
    detail = "There is no such task; GET /v1/tasks lists those there are."
    return Problem(HTTPStatus.NOT_FOUND, "unknown-task", "Unknown task", detail)
