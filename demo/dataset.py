"""A real data set that comes with scikit-learn: handwritten digits, scanned (UCI Machine Learning Repository)."""

import csv
from pathlib import Path

from sklearn.datasets import load_digits

EVERY = slice(None)


def write_digits(path: Path, which: slice = EVERY) -> Path:
    """Write digits, all 1,797 or a slice, as a table of 64 grey values, 0 to 16, and the digit they show."""
    digits = load_digits()
    rows = list(zip(digits.data, digits.target, strict=True))[which]
    with path.open("w", newline="") as target:
        writer = csv.writer(target)
        writer.writerow([*digits.feature_names, "digit"])
        writer.writerows([*pixels.astype(int), digit] for pixels, digit in rows)
    return path
