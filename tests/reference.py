"""docs/http.md taken apart: its sections, and the examples in them."""

import re
from pathlib import Path
from typing import NamedTuple

REFERENCE = (Path(__file__).parents[1] / "docs" / "http.md").read_text()

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
_CURL = re.compile(r"\bcurl\b(?:\\\n|[^\n])*")
_ADDRESS = re.compile(r"\$OFFLOAD(/[^\s\"'?]*)")


class Example(NamedTuple):
    """Commands of a section, and what the document shows as their output, where it does."""

    section: str
    commands: str
    shown: str


class Call(NamedTuple):
    """A request that an example makes."""

    method: str
    path: str


def examples() -> list[Example]:
    """Return every example, in the document's order."""
    parts = _HEADING.split(REFERENCE)
    sections = [("", parts[0]), *zip(parts[1::2], parts[2::2], strict=True)]
    return [example for name, text in sections for example in _of_section(name, text)]


def _of_section(name: str, text: str) -> list[Example]:
    made: list[Example] = []
    for language, content in _FENCE.findall(text):
        if language == "sh":
            made.append(Example(name, content, ""))
        elif made:
            made[-1] = made[-1]._replace(shown=made[-1].shown or content)
    return made


def calls(commands: str) -> list[Call]:
    """Return the requests that commands make by curl."""
    found = []
    for curl in _CURL.findall(commands):
        given = re.search(r"-X (\w+)", curl)
        sends = re.search(r" (?:-d|--data\S*|--json|-T) ", curl)
        method = given[1] if given else "POST" if sends else "HEAD" if re.search(r" (?:-I|--head) ", curl) else "GET"
        found += [Call(method, path) for path in _ADDRESS.findall(curl)]
    return found
