"""What a change of a task breaks is told apart from what it adds."""

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta

from offload_shared import tasks
from offload_shared.tasks import kept
from offload_shared.tasks.compatibility import refusals
from offload_shared.tasks.kept import changes, described, keep, problems
from offload_shared.tasks.task import Payload, Result, RunsIn, Task

ROOT = Path(__file__).parents[2]


class One(msgspec.Struct, tag="one", forbid_unknown_fields=True):
    size: int = 0


class Other(msgspec.Struct, tag="other", forbid_unknown_fields=True):
    size: int = 0


def struct(base: type[Any], **fields: Any) -> type[Any]:
    """A struct of a field for each name; a tuple is a type and its default."""
    made = [(name, *each) if isinstance(each, tuple) else (name, each) for name, each in fields.items()]
    return msgspec.defstruct("Made", made, bases=(base,), kw_only=True, frozen=True)


def task(version: int = 1, payload: dict[str, Any] | None = None, result: dict[str, Any] | None = None) -> Task:
    return Task(
        name="made",
        summary="",
        payload=struct(Payload, **(payload or {"text": str})),
        result=struct(Result, **(result or {"text": str})),
        queue="io",
        runs_in=RunsIn.THREAD,
        version=version,
    )


BROKEN = [
    ({"a": str}, {"b": str}, "payload /a: is known no longer"),
    ({"a": str}, {"a": str, "b": str}, "payload /b: has to be there now"),
    ({"a": (str, "")}, {"a": str}, "payload /a: has to be there now"),
    ({"a": str}, {"a": int}, "payload /a: was string, and is integer"),
    ({"a": float}, {"a": int}, "payload /a: was number, and is integer"),
    ({"a": int | None}, {"a": int}, "payload /a: null is taken no longer, or not all of it"),
    ({"a": Literal["x", "y"]}, {"a": Literal["x"]}, "payload /a: 'y' is taken no longer"),
    ({"a": str}, {"a": Literal["x"]}, "payload /a: only ['x'] are taken now"),
    ({"a": str}, {"a": Annotated[str, Meta(max_length=9)]}, "payload /a: maxLength was none, and is 9"),
    ({"a": Annotated[int, Meta(ge=1)]}, {"a": Annotated[int, Meta(ge=2)]}, "payload /a: minimum was 1, and is 2"),
    ({"a": str}, {"a": Annotated[str, Meta(pattern="^x")]}, "payload /a: the pattern is another: ^x"),
    ({"a": list[float]}, {"a": list[int]}, "payload /a/*: was number, and is integer"),
    ({"a": dict[str, float]}, {"a": dict[str, int]}, "payload /a/*: was number, and is integer"),
    ({"a": One | Other}, {"a": One}, "payload /a: Other is taken no longer, or not all of it"),
]
WIDER = [
    ({"a": str}, {"a": str, "b": (str, "")}),
    ({"a": str}, {"a": (str, "")}),
    ({"a": int}, {"a": float}),
    ({"a": int}, {"a": int | None}),
    ({"a": Literal["x"]}, {"a": Literal["x", "y"]}),
    ({"a": Annotated[str, Meta(max_length=9)]}, {"a": Annotated[str, Meta(max_length=10)]}),
    ({"a": Annotated[str, Meta(pattern="^x")]}, {"a": str}),
    ({"a": One}, {"a": One | Other}),
]


@pytest.mark.parametrize(("before", "after", "said"), BROKEN)
def test_a_payload_that_was_sound_and_is_refused_now_is_told_with_its_place(
    before: dict[str, Any], after: dict[str, Any], said: str
) -> None:
    assert said in changes(described(task(payload=before)), described(task(payload=after)))


@pytest.mark.parametrize(("before", "after"), WIDER)
def test_what_is_only_taken_besides_breaks_nothing(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert [] == changes(described(task(payload=before)), described(task(payload=after)))


@pytest.mark.parametrize(("before", "after"), WIDER)
def test_a_result_breaks_the_other_way_round(before: dict[str, Any], after: dict[str, Any]) -> None:
    now, known = described(task(result=before)), described(task(result=after))

    assert [] == [each for each in changes(known, now) if "has to be there" not in each]


def test_a_result_may_say_more_and_not_less() -> None:
    less, more = task(result={"a": str}), task(result={"a": str, "b": str})

    assert [] == changes(described(less), described(more))
    assert ["result /b: has to be there now"] == changes(described(more), described(less))


def test_a_schema_that_refers_to_itself_is_compared_once() -> None:
    tree = {"$ref": "#/$defs/T", "$defs": {"T": {"type": "object", "properties": {"t": {"$ref": "#/$defs/T"}}}}}

    assert [] == refusals(tree, tree)


def test_a_task_is_held_to_what_is_kept_of_it(tmp_path: Path) -> None:
    def told(now: Task) -> list[str]:
        return list(problems(now, tmp_path))

    assert ["made: its schemas are not kept yet; run `offload-tasks keep`"] == told(task())
    keep(task(version=2), tmp_path)
    assert [] == told(task(version=2))
    assert ["made: version 1 is lower than 2, which is kept"] == told(task())
    wider = task(version=2, payload={"text": str, "loud": (bool, False)})
    assert ["made: its schemas have changed, and break nothing; run `offload-tasks keep`"] == told(wider)
    broken = task(version=2, payload={"text": str, "loud": bool})
    assert ["made: payload /loud: has to be there now; raise its version"] == told(broken)
    assert ["made: its schemas have changed, and break nothing; run `offload-tasks keep`"] == told(
        task(version=3, payload={"text": str, "loud": bool})
    )


def test_the_command_keeps_what_breaks_nothing_and_tells_of_what_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "registry", lambda: {"made": task()})
    options = [str(tmp_path), "--of", __name__]
    monkeypatch.setattr(kept, "chosen", lambda _: [task()])

    with pytest.raises(SystemExit, match="not kept yet"):
        kept.main(["check", *options])
    kept.main(["keep", *options])
    kept.main(["check", *options])

    monkeypatch.setattr(kept, "chosen", lambda _: [task(payload={"text": int})])
    for command in ("check", "keep"):
        with pytest.raises(SystemExit, match="raise its version"):
            kept.main([command, *options])


def test_a_package_without_tasks_is_an_error_and_no_success(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no task that is installed here"):
        kept.main(["check", str(tmp_path), "--of", "nowhere"])


def test_the_shipped_tasks_break_nothing_that_is_kept_of_them() -> None:
    kept.main(["check", str(ROOT / "shared/schemas"), "--of", "offload_shared"])
    assert {f"{each.name}.json" for each in tasks.SHIPPED} == {
        path.name for path in (ROOT / "shared/schemas").iterdir()
    }
