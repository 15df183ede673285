"""References between the payloads of a flow's jobs.

`{"$job": "train"}` in a payload stands for the id of the flow's job `train`, and `{"$result": "train", "at": "/score"}`
for what its result has at a JSON pointer (RFC 6901), or for all of it without `at`.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from offload_shared.errors import ReferenceInvalid

JOB, RESULT, AT = "$job", "$result", "at"

_INDEX = re.compile(r"0|[1-9][0-9]*")


class Reference(msgspec.Struct, frozen=True):
    """A reference, and where it stands in the payload, as a JSON pointer."""

    pointer: str
    kind: str  # JOB or RESULT
    to: str  # a job's name, and once the jobs have ids, its id
    at: str = ""


def found_in(value: Any) -> list[Reference]:
    """Return the references in a payload; raises `ReferenceInvalid` for what only looks like one."""
    references: list[Reference] = []
    replaced(value, references.append)
    return references


def _reference(value: dict[str, Any], pointer: str) -> Reference | None:
    if JOB not in value and RESULT not in value:
        return None
    if value.keys() == {JOB} and isinstance(value[JOB], str):
        return Reference(pointer, JOB, value[JOB])
    at = value.get(AT, "")
    if value.keys() - {AT} == {RESULT} and isinstance(value[RESULT], str) and _is_pointer(at):
        return Reference(pointer, RESULT, value[RESULT], at)
    msg = f'is neither {{"{JOB}": name}} nor {{"{RESULT}": name, "{AT}": JSON pointer}}'
    raise ReferenceInvalid(pointer, msg)


def _is_pointer(at: Any) -> bool:
    return isinstance(at, str) and (at == "" or at.startswith("/"))


def replaced(value: Any, put: Callable[[Reference], Any], pointer: str = "") -> Any:
    """Return a payload with what `put` returns in the place of each reference; raises `ReferenceInvalid`."""
    if isinstance(value, dict):
        if (reference := _reference(value, pointer)) is not None:
            return put(reference)
        return {name: replaced(each, put, f"{pointer}/{escaped(name)}") for name, each in value.items()}
    if isinstance(value, list):
        return [replaced(each, put, f"{pointer}/{index}") for index, each in enumerate(value)]
    return value


def named(value: Any, ids: Mapping[str, str]) -> Any:
    """Return a payload in which jobs' names are ids, and only references to results are left."""

    def put(reference: Reference) -> Any:
        job_id = ids[reference.to]
        if reference.kind == JOB:
            return job_id
        return {RESULT: job_id, AT: reference.at} if reference.at else {RESULT: job_id}

    return replaced(value, put)


def filled(value: Any, results: Mapping[str, Any]) -> Any:
    """Return a payload with the results, by the jobs' ids, that it refers to; raises `ReferenceInvalid`."""

    def put(reference: Reference) -> Any:
        if reference.to not in results:
            raise ReferenceInvalid(reference.pointer, "refers to the result of a job that has none")
        return _at(results[reference.to], reference)

    return replaced(value, put)


def _at(result: Any, reference: Reference) -> Any:
    value = result
    for part in reference.at.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif isinstance(value, list) and _INDEX.fullmatch(name) and int(name) < len(value):
            value = value[int(name)]
        else:
            raise ReferenceInvalid(reference.pointer, f"refers to {reference.at}, which that result does not have")
    return value


def escaped(name: str) -> str:
    """Return a member's name as a part of a JSON pointer."""
    return name.replace("~", "~0").replace("/", "~1")
