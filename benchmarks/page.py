"""What the pages that benchmarks write have in common: a template with a gap, where and when, and plain numbers."""

import math
import os
import platform
import sys
from datetime import date
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
DOCS = REPOSITORY / "docs"
GAP = "<!-- figures -->"


def write_page(page: Path, template: Path, part: str) -> None:
    """Write `page` as the template has it, with `part` in its gap; raises `ValueError` when it has not just one."""
    text = template.read_text()
    if text.count(GAP) != 1:
        msg = f"{template} does not have one {GAP!r}"
        raise ValueError(msg)
    page.write_text(text.replace(GAP, part))


def where_and_when() -> str:
    """Return the part of a sentence that says on what day and on what machine something was measured."""
    # The date of the run on the machine's own calendar: nobody compares it across time zones.
    today = date.today().isoformat()  # noqa: DTZ011
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"Measured on {today} on a machine with {cores()} cores ({platform.machine()}, {sys.platform}), {python}"


def cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def number(value: float) -> str:
    """Return about three digits: nothing here is more exact."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def percent(share: float) -> str:
    """Return a share in whole percent."""
    return f"{share * 100:.0f} %"


def percentile(ordered: list[float], share: float) -> float:
    """Return the lowest of the sorted values that at least this share of them does not exceed."""
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)]
