"""Typst, with no way out of its folder: no file of the machine, no package, no font but those that come with us."""

import os
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import typst

from offload_shared.tasks.render_report import Standard
from offload_worker.handle import JobRejected
from offload_worker.handlers.tables.wording import quoted

#: Where nothing listens. Typst fetches packages by itself, and has no other way of being kept from it.
NOWHERE = "http://127.0.0.1:0"
MOST_TOLD = 20


def compile_pdf(main: Path, root: Path, inputs: dict[str, str], standard: Standard) -> tuple[bytes, tuple[str, ...]]:
    """Return the PDF that a template makes, and its warnings; raises `JobRejected` with what is wrong, and where."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        os.environ[name] = os.environ[name.lower()] = NOWHERE
    fonts = typst.Fonts(
        include_system_fonts=False,
        font_paths=[Path(matplotlib.get_data_path()) / "fonts" / "ttf", root / "files"],
    )
    nothing = root / "files" / ".packages"
    compiler = typst.Compiler(
        main, root=root, font_paths=fonts, sys_inputs=inputs, package_path=nothing, package_cache_path=nothing
    )
    try:
        made, told = compiler.compile_with_warnings(format="pdf", pdf_standards=[standard], timestamp=0)
    except typst.TypstError as error:
        raise JobRejected(_sentence(error, root)) from None
    if not isinstance(made, bytes):
        raise TypeError("Typst made no PDF")
    return made, _warnings(told)


def _sentence(error: typst.TypstError, root: Path) -> str:
    if "package" in error.message:
        return f"The template asks for a package, and none can be had: put its files into the archive. {_place(error)}"
    words = error.message.replace(f"{root}/", "").replace(str(root), "")
    hints = [hint for hint in error.hints if "--" not in hint]  # of a command line that the client has not
    return " ".join([f"The template cannot be rendered: {quoted(words, most=300)}.", _place(error), *hints]).strip()


def _place(error: typst.TypstError) -> str:
    """Return where it happened, as the diagnostic shows it: `main.typ:3:12`."""
    for line in error.diagnostic.splitlines():
        _, arrow, place = line.partition("─ ")
        if arrow:
            return f"({Path(place).name.strip()})"
    return ""


def _warnings(told: Sequence[typst.TypstWarning]) -> tuple[str, ...]:
    return tuple(quoted(each.message, most=200).strip("'") for each in told[:MOST_TOLD])
