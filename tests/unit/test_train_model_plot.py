from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from offload_shared.tasks.train_model import Importance, Importances
from offload_worker.handlers.training.plot import draw, shown
from offload_worker.handlers.training.scores import Predictions

IMPORTANCES = Importances(
    method="impurity",
    columns=tuple(Importance(column=f"column {place}", importance=1 / (place + 2)) for place in range(40)),
)


def guesses(classes: int, rows: int = 600) -> Predictions:
    """Return predictions that are mostly right."""
    draw_numbers = np.random.default_rng(0)
    truth = draw_numbers.integers(0, classes, rows)
    probabilities = draw_numbers.dirichlet(np.ones(classes), rows) + 0.5 * np.eye(classes)[truth]
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return Predictions(truth, probabilities.argmax(axis=1), probabilities)


@pytest.mark.parametrize(
    "classes",
    [
        ("no", "yes"),
        ("$x^2$", "_hidden", "分類", "line\nbreak", "a class with a very long name indeed"),
        tuple(f"class {place}" for place in range(60)),
    ],
    ids=["two", "odd names", "many"],
)
def test_a_picture_is_drawn_for_any_classes(tmp_path: Path, classes: tuple[str, ...]) -> None:
    draw(tmp_path / "plot.png", "title with $ and 分類", guesses(len(classes)), classes, IMPORTANCES)

    height, width, _ = imread(tmp_path / "plot.png").shape
    assert (750, 2250) == (height, width)


@pytest.mark.parametrize("rows", [1, 20_000])
def test_a_picture_is_drawn_for_any_number_of_rows(tmp_path: Path, rows: int) -> None:
    truth = np.random.default_rng(0).normal(size=rows)
    nothing = Importances(method="permutation", columns=(Importance(column="only", importance=None),))

    draw(tmp_path / "plot.png", "numbers", Predictions(truth, truth * 0.9, None), (), nothing)

    assert imread(tmp_path / "plot.png").std() > 0.01


def test_labels_are_one_short_line_without_mathematics() -> None:
    assert r"a \$b" == shown("a\n\t $b")
    assert 24 == len(shown("x" * 100))
