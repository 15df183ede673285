"""Flows as clients submit them: jobs by name, some of which follow others and take what they leave behind."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from graphlib import CycleError, TopologicalSorter
from operator import or_
from typing import Annotated, Any, cast

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from offload_api import strictness
from offload_api.problems import FieldError, Problem, invalid
from offload_api.submissions import (
    MOST_IN_BATCH,
    DelaySeconds,
    Moment,
    Options,
    RunAt,
    Submissions,
    contradictions,
    fingerprint,
    once_more,
    part_errors,
)
from offload_api.validation import MOST_ERRORS, field_errors, whole_numbers
from offload_shared.errors import ReferenceInvalid
from offload_shared.ids import new_id
from offload_shared.job import IfFailed, NewJob, Step
from offload_shared.keys import DEFAULT_TENANT
from offload_shared.references import RESULT, Reference, escaped, found_in, named
from offload_shared.tasks.task import Task

StepName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}(?!\n)$")]

FREE_PAYLOAD = Annotated[
    dict[str, Any],
    Meta(
        description='The task\'s own payload. Anywhere in it, `{"$job": name}` stands for the id of a job of the flow, '
        'and `{"$result": name, "at": JSON pointer}` for what its result has there.'
    ),
]
#: In the place of an id that is not made yet.
SOME_ID = "0" * 32


class StepBody(Options, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The base of every task's body in a flow."""

    after: Annotated[
        tuple[StepName, ...],
        Meta(
            max_length=MOST_IN_BATCH, description="Jobs of the flow that end first, as do those its payload refers to."
        ),
    ] = ()
    if_failed: Annotated[
        IfFailed, Meta(description="When one of them has not succeeded: end as cancelled, fail, or run all the same.")
    ] = IfFailed.SKIP


class FlowBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Jobs that are submitted together, by names of yours. The times are those of the jobs that follow no other."""

    jobs: Annotated[dict[StepName, Any], Meta(min_length=1, max_length=MOST_IN_BATCH)]
    run_at: RunAt = None
    delay_seconds: DelaySeconds = None
    deadline: Annotated[Moment | None, Meta(description="They fail if they have not started by then.")] = None


class Flows:
    """Decodes flows of the tasks there are, within what the operator allows."""

    def __init__(self, submissions: Submissions) -> None:
        self._submissions = submissions
        #: The body of each job, by its task.
        self.kinds = submissions.body_types(StepBody, "Flow", FREE_PAYLOAD)
        #: All of them as one type, told apart by `task`.
        self.union: Any = reduce(or_, self.kinds.values())
        self._body = _body_type(self.union)
        self._decoder = msgspec.json.Decoder(self._body)

    def decode(self, body: bytes, idempotency_key: str | None, tenant: str = DEFAULT_TENANT) -> list[NewJob]:
        """Return the jobs of the flow that a body describes, each after those it follows; raises `Problem` 400 or 422.

        The first carries the flow's key.
        """
        strictness.require_sound(body)
        try:
            flow = self._decoder.decode(body)
        except (msgspec.DecodeError, RecursionError):
            flow = once_more(body, self._body, self._refusal)
        strictness.require_printable(body)
        parts, errors = list[_Part](), [*contradictions(flow)]
        for name, each in flow.jobs.items():
            here = f"/jobs/{escaped(name)}"
            errors += _bad_names(each.after, flow.jobs, f"{here}/after")
            try:
                part = _Part(name, each, self._task(each), found_in(each.payload))
            except ReferenceInvalid as error:
                errors.append(FieldError(f"{here}/payload{error.pointer}", str(error)))
            else:
                parts.append(part)
                errors += (FieldError(here + bad.pointer, bad.detail) for bad in self._errors(part, flow.jobs))
        if errors:
            raise invalid(errors[:MOST_ERRORS])
        jobs = [_timed(job, flow) for job in self._new_jobs(_in_order(parts), tenant)]
        if idempotency_key is not None:
            # No client's own key has a line feed in it.
            key = f"{hashlib.sha256(idempotency_key.encode()).hexdigest()}\nflow"
            jobs[0] = replace(jobs[0], idempotency_key=key, fingerprint=fingerprint(flow))
        return jobs

    def _task(self, body: StepBody) -> Task:
        return self._submissions.tasks[str(body.__struct_config__.tag)]

    def _refusal(self, value: Any) -> Problem:
        errors = field_errors(value, FlowBody)
        jobs = value.get("jobs") if isinstance(value, dict) else None
        for name, each in jobs.items() if isinstance(jobs, dict) else ():
            errors += part_errors(each, self.kinds, f"/jobs/{escaped(name)}")
        return invalid(errors[:MOST_ERRORS])

    def _errors(self, part: "_Part", known: Mapping[str, Any]) -> Iterator[FieldError]:
        for each in part.references:
            if each.to not in known:
                yield FieldError(f"/payload{each.pointer}", "refers to no job of the flow")
        yield from part.payload_errors()
        yield from self._submissions.bad_callback(part.body)

    def _new_jobs(self, parts: list["_Part"], tenant: str) -> list[NewJob]:
        # The ids are in the order of the jobs: who locks some of them locks them in one order.
        ids = dict(zip((part.name for part in parts), sorted(new_id() for _ in parts), strict=True))
        flow_id = new_id()
        return [
            replace(
                self._submissions.new_job(part.body, tenant=tenant, step=part.step(flow_id, ids)),
                id=ids[part.name],
                payload=part.payload(ids),
            )
            for part in parts
        ]


def _bad_names(names: Sequence[str], known: Mapping[str, Any], pointer: str) -> Iterator[FieldError]:
    for index, name in enumerate(names):
        if name not in known:
            yield FieldError(f"{pointer}/{index}", "names no job of the flow")


def _body_type(union: Any) -> type[FlowBody]:
    jobs: Any = Annotated[dict[StepName, union], Meta(min_length=1, max_length=MOST_IN_BATCH)]
    made = msgspec.defstruct(
        "TypedFlowBody", [("jobs", jobs)], bases=(FlowBody,), frozen=True, kw_only=True, forbid_unknown_fields=True
    )
    return cast("type[FlowBody]", made)


class _Part(msgspec.Struct, frozen=True):
    """A job of a flow as it was submitted."""

    name: str
    body: StepBody
    task: Task
    references: list[Reference]  # in its payload

    def after(self) -> list[str]:
        """Return the names of the jobs it follows, each once."""
        return list(dict.fromkeys([*self.body.after, *(each.to for each in self.references)]))

    def step(self, flow_id: str, ids: Mapping[str, str]) -> Step:
        """Return its place in the flow, once all have ids."""
        after = tuple(ids[name] for name in self.after())
        return Step(flow_id=flow_id, name=self.name, after=after, if_failed=self.body.if_failed)

    def payload(self, ids: Mapping[str, str]) -> str:
        """Return its payload as JSON, in which only references to results are left."""
        payload = self._typed(ids)
        if not self._results():
            payload = msgspec.convert(payload, self.task.payload, str_keys=True)
        return msgspec.json.encode(payload).decode()

    def payload_errors(self) -> list[FieldError]:
        """Return what is wrong with the payload, as far as that can be told before the results are there."""
        payload = self._typed(dict.fromkeys(self.after(), SOME_ID))
        errors = field_errors(payload, self.task.payload)
        left = [error for error in errors if not any(_concerns(error.pointer, each) for each in self._results())]
        return [FieldError(f"/payload{error.pointer}", error.detail) for error in left]

    def _results(self) -> list[Reference]:
        return [each for each in self.references if each.kind == RESULT]

    def _typed(self, ids: Mapping[str, str]) -> Any:
        payload = named(self.body.payload, ids)
        # 3.0 is a whole number to JSON Schema: where one is asked for, it may be written so.
        return whole_numbers(payload) if field_errors(payload, self.task.payload) else payload


def _timed(job: NewJob, flow: FlowBody) -> NewJob:
    if job.step and job.step.after:
        return job
    return replace(job, run_at=flow.run_at, delay_seconds=flow.delay_seconds or 0.0, deadline_at=flow.deadline)


def _concerns(pointer: str, reference: Reference) -> bool:
    # What is wrong around it, or within, may be right once the result is there.
    return f"{reference.pointer}/".startswith(f"{pointer}/") or pointer.startswith(f"{reference.pointer}/")


def _in_order(parts: list[_Part]) -> list[_Part]:
    of = {part.name: part for part in parts}
    try:
        return [of[name] for name in TopologicalSorter({part.name: part.after() for part in parts}).static_order()]
    except CycleError as error:
        circle = " after ".join(reversed(error.args[1]))
        raise invalid([FieldError("/jobs", f"each of these waits for the next: {circle}")]) from None
