"""Tells whether messages that were sound before still are: by comparing two JSON Schemas as msgspec writes them."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

#: A bound, and whether a value after is no tighter than one before.
_UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")


class Document:
    """A schema whose references lead to its own definitions."""

    def __init__(self, whole: Schema) -> None:
        self._definitions = whole.get("$defs", {})
        self.whole = whole

    def resolved(self, schema: Schema) -> Schema:
        """Return what a schema is once no reference is left at its top."""
        while "$ref" in schema:
            schema = self._definitions[schema["$ref"].rpartition("/")[2]]
        return schema


def refusals(before: Schema, after: Schema) -> list[str]:
    """Return a sentence for each way in which something that `before` accepts may be refused by `after`."""
    return list(dict.fromkeys(_Comparison(Document(before), Document(after)).narrowed(before, after, "")))


class _Comparison:
    def __init__(self, before: Document, after: Document) -> None:
        self._before = before
        self._after = after
        self._open: set[tuple[int, int]] = set()  # being compared already, further up

    def narrowed(self, before: Schema, after: Schema, at: str) -> Iterator[str]:
        """Yield what is refused at a place, and below it."""
        before, after = self._before.resolved(before), self._after.resolved(after)
        key = (id(before), id(after))
        if key in self._open:
            return
        self._open.add(key)
        try:
            if _alternatives(before) or _alternatives(after):
                yield from self._choice(before, after, at)
            else:
                yield from self._single(before, after, at)
        finally:
            self._open.discard(key)

    def _choice(self, before: Schema, after: Schema, at: str) -> Iterator[str]:
        offered = _alternatives(after) or [after]
        for one in _alternatives(before) or [before]:
            if not any(not list(self.narrowed(one, each, at)) for each in offered):
                yield f"{at or '/'}: {self._shown(one)} is taken no longer, or not all of it"

    def _shown(self, schema: Schema) -> str:
        resolved = self._before.resolved(schema)
        return str(resolved.get("title") or resolved.get("const") or resolved.get("type") or "one of the alternatives")

    def _single(self, before: Schema, after: Schema, at: str) -> Iterator[str]:
        yield from _types(before, after, at)
        yield from _values(before, after, at)
        yield from _bounds(before, after, at)
        if after.get("pattern") not in (None, before.get("pattern")):
            yield f"{at or '/'}: the pattern is another: {after['pattern']}"
        yield from self._members(before, after, at)
        if "items" in after and isinstance(after["items"], Mapping):
            yield from self.narrowed(before.get("items", {}), after["items"], f"{at}/*")
        for place, pair in enumerate(zip(before.get("prefixItems", ()), after.get("prefixItems", ()), strict=False)):
            yield from self.narrowed(*pair, f"{at}/{place}")

    def _members(self, before: Schema, after: Schema, at: str) -> Iterator[str]:
        known, now = before.get("properties", {}), after.get("properties", {})
        for name in after.get("required", ()):
            if name not in before.get("required", ()):
                yield f"{at}/{name}: has to be there now"
        others = after.get("additionalProperties", True)
        for name, schema in known.items():
            if name in now:
                yield from self.narrowed(schema, now[name], f"{at}/{name}")
            elif others is False:
                yield f"{at}/{name}: is known no longer"
        if others is False and before.get("additionalProperties", True) is not False and before.get("type") == "object":
            yield f"{at or '/'}: takes no further members now"
        if isinstance(others, Mapping) and isinstance(before.get("additionalProperties"), Mapping):
            yield from self.narrowed(before["additionalProperties"], others, f"{at}/*")


def _alternatives(schema: Schema) -> list[Schema]:
    return [*schema.get("anyOf", ()), *schema.get("oneOf", ())]


def _types(before: Schema, after: Schema, at: str) -> Iterator[str]:
    if "type" not in after:
        return
    taken = {after["type"]} | ({"integer"} if after["type"] == "number" else set())
    if before.get("type") not in taken:
        yield f"{at or '/'}: was {before.get('type', 'anything')}, and is {after['type']}"


def _values(before: Schema, after: Schema, at: str) -> Iterator[str]:
    now = after.get("enum", [after["const"]] if "const" in after else None)
    if now is None:
        return
    known = before.get("enum", [before["const"]] if "const" in before else None)
    if known is None:
        yield f"{at or '/'}: only {now} are taken now"
        return
    for value in known:
        if value not in now:
            yield f"{at or '/'}: {value!r} is taken no longer"


def _bounds(before: Schema, after: Schema, at: str) -> Iterator[str]:
    looser: tuple[tuple[tuple[str, ...], Callable[[float, float], bool]], ...] = (
        (_UPPER, lambda now, known: now >= known),
        (_LOWER, lambda now, known: now <= known),
    )
    for names, is_looser in looser:
        for name in names:
            if name in after and not (name in before and is_looser(after[name], before[name])):
                yield f"{at or '/'}: {name} was {before.get(name, 'none')}, and is {after[name]}"
