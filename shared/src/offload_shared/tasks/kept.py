"""`offload-tasks`: keeps the schemas of tasks beside their code, and tells what a change of them would break.

Jobs outlive the code that made them, and clients are changed later than services: a payload that was sound must stay
so, and a result must stay what clients know it as, within one version of a task.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from offload_shared import tasks
from offload_shared.tasks.compatibility import refusals
from offload_shared.tasks.task import Task


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What a file holds: the schemas of one version of a task."""

    name: str
    version: int
    payload: dict[str, Any]
    result: dict[str, Any]


def described(task: Task) -> Kept:
    """Return the schemas of a task as it is now."""
    made = Kept(
        name=task.name,
        version=task.version,
        payload=msgspec.json.schema(task.payload),
        result=msgspec.json.schema(task.result),
    )
    return msgspec.json.decode(msgspec.json.encode(made), type=Kept)  # as one that was kept: defaults may be tuples


def changes(known: Kept, now: Kept) -> list[str]:
    """Return what a change of a task breaks, a sentence each; nothing where it only adds."""
    payload = [f"payload {said}" for said in refusals(known.payload, now.payload)]
    # The other way round: what may be answered now is to be what was promised.
    return payload + [f"result {said}" for said in refusals(now.result, known.result)]


def problems(task: Task, folder: Path) -> Iterator[str]:
    """Yield what keeps a task from being released as it is, a sentence each."""
    now = described(task)
    path = folder / f"{task.name}.json"
    if not path.exists():
        yield f"{task.name}: its schemas are not kept yet; run `offload-tasks keep`"
        return
    known = msgspec.json.decode(path.read_bytes(), type=Kept)
    if now.version < known.version:
        yield f"{task.name}: version {now.version} is lower than {known.version}, which is kept"
    elif now.version == known.version and (broken := changes(known, now)):
        yield from (f"{task.name}: {said}; raise its version" for said in broken)
    elif now != known:
        yield f"{task.name}: its schemas have changed, and break nothing; run `offload-tasks keep`"


def keep(task: Task, folder: Path) -> None:
    """Write the schemas of a task as it is now."""
    folder.mkdir(parents=True, exist_ok=True)
    written = msgspec.json.format(msgspec.json.encode(described(task), order="deterministic"), indent=2)
    (folder / f"{task.name}.json").write_bytes(written + b"\n")


def chosen(package: str) -> list[Task]:
    """Return the tasks whose payloads are defined in a package."""
    return [each for each in tasks.registry().values() if f"{each.payload.__module__}.".startswith(f"{package}.")]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; its exit status is 1 when a task is not to be released as it is."""
    parser = argparse.ArgumentParser(
        prog="offload-tasks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, said in (("check", "tell what has changed, and what that breaks"), ("keep", "write the schemas")):
        command = commands.add_parser(name, help=said, description=said)
        command.add_argument("folder", type=Path, help="where the schemas are kept, a file for each task")
        command.add_argument("--of", metavar="PACKAGE", required=True, help="the package that defines the tasks")
        command.set_defaults(command=name)
    options = parser.parse_args(arguments)
    found = chosen(options.of)
    if not found:
        sys.exit(f"offload-tasks: no task that is installed here is defined in {options.of!r}")
    if options.command == "check":
        told = [problem for task in found for problem in problems(task, options.folder)]
        if told:
            sys.exit("\n".join(told))
        return
    for task in found:
        broken = [problem for problem in problems(task, options.folder) if "raise its version" in problem]
        if broken:
            sys.exit("\n".join(broken))
    for task in found:
        keep(task, options.folder)
