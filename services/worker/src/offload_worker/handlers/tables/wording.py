"""How names and values of somebody else's table are shown in our sentences."""

import difflib
from collections.abc import Sequence

SHOWN_CHARACTERS = 60
SHOWN_NAMES = 12


def quoted(text: str, most: int = SHOWN_CHARACTERS) -> str:
    """Return `text` in quotes, at most so long, with nothing in it that a terminal or a log would act on."""
    printable = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
    return f"'{printable if len(printable) <= most else printable[: most - 1] + '…'}'"


def listed(names: Sequence[str]) -> str:
    """Return the first of `names`, each in quotes, and how many more there are."""
    shown = ", ".join(quoted(name) for name in names[:SHOWN_NAMES])
    return shown if len(names) <= SHOWN_NAMES else f"{shown} and {len(names) - SHOWN_NAMES:,} more"


def unknown_column(name: str, names: Sequence[str]) -> str:
    """Return a sentence for a wish for a column that is not there: near matches, or else what there is."""
    by_folded = {known.casefold(): known for known in names}
    near = difflib.get_close_matches(name.strip().casefold(), by_folded, n=3)
    if near:
        return f"There is no column {quoted(name)}; did you mean {' or '.join(quoted(by_folded[key]) for key in near)}?"
    return f"There is no column {quoted(name)}; the columns are {listed(names)}."
