"""Finds every bad field of a body that msgspec refused; msgspec itself stops at the first."""

import re
from collections.abc import Iterator
from typing import Any, get_type_hints

import msgspec

from offload_api.problems import FieldError
from offload_shared.references import escaped

MOST_ERRORS = 100
EXACT = 2**53  # beyond it a float names no one integer

_PATH = re.compile(r"^(?P<detail>.*?)(?: - at `(?:key in )?\$(?P<path>.*)`)?$", re.DOTALL)
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+)\]")


def field_errors(value: Any, kind: type[msgspec.Struct]) -> list[FieldError]:
    """Return what is wrong with `value`, decoded JSON, as a `kind`; empty when nothing is."""
    try:
        msgspec.convert(value, kind, str_keys=True)
    except msgspec.ValidationError as error:
        found = [each for _, each in zip(range(MOST_ERRORS), _found(value, kind, ""), strict=False)]
        return found or [_field_error(error, "")]
    return []


def whole_numbers(value: Any) -> Any:
    """Return decoded JSON with its whole numbers as integers: 3.0 is one to JSON Schema, and none to msgspec."""
    if isinstance(value, float) and value.is_integer() and abs(value) < EXACT:
        return int(value)
    if isinstance(value, list):
        return [whole_numbers(each) for each in value]
    if isinstance(value, dict):
        return {name: whole_numbers(each) for name, each in value.items()}
    return value


def _found(value: Any, kind: type[msgspec.Struct], pointer: str) -> Iterator[FieldError]:
    if not isinstance(value, dict):
        yield FieldError(pointer, f"Expected `object`, got `{_json_name(value)}`")
        return
    hints = get_type_hints(kind, include_extras=True)
    for field in msgspec.structs.fields(kind):
        here = f"{pointer}/{escaped(field.encode_name)}"
        if field.encode_name in value:
            yield from _of_field(value[field.encode_name], hints[field.name], here)
        elif field.required:
            yield FieldError(here, "missing")
    known = {field.encode_name for field in msgspec.structs.fields(kind)} | {kind.__struct_config__.tag_field}
    if kind.__struct_config__.forbid_unknown_fields:
        yield from (FieldError(f"{pointer}/{escaped(name)}", "unknown field") for name in value.keys() - known)


def _of_field(value: Any, kind: Any, pointer: str) -> Iterator[FieldError]:
    try:
        msgspec.convert(value, kind, str_keys=True)
    except msgspec.ValidationError as error:
        nested = isinstance(kind, type) and issubclass(kind, msgspec.Struct)
        found = list(_found(value, kind, pointer)) if nested else []
        yield from found or [_field_error(error, pointer)]


def _field_error(error: msgspec.ValidationError, pointer: str) -> FieldError:
    match = _PATH.match(str(error))
    path = (match["path"] if match else "") or ""
    steps = "".join(f"/{escaped(name or index)}" for name, index in _STEP.findall(path.partition("[...]")[0]))
    return FieldError(pointer + steps, match["detail"] if match else str(error))


def _json_name(value: Any) -> str:
    names = {type(None): "null", bool: "bool", int: "int", float: "float", str: "str", list: "array"}
    return names.get(type(value), type(value).__name__)
