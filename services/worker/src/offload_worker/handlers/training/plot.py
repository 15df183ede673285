"""The test's outcome in one picture: what a colleague asks for first."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from sklearn.metrics import confusion_matrix, roc_curve

from offload_shared.tasks.train_model import Importances
from offload_worker.handlers.training.scores import Predictions

PIXELS_PER_INCH = 150
MOST_BARS = 15
MOST_POINTS = 5000  # of a scatter plot, where more are one blot; test rows come in random order
MOST_COUNTS, MOST_TICKS, MOST_CURVES = 12, 25, 10  # classes up to which they can be read

BLUE, ORANGE, GREY = "#2563a8", "#d95f0e", "#8a8a8a"

AXIS_OF = {
    "impurity": "share of the trees' gain",
    "coefficients": "share of the spread of the decision",
    "permutation": "fall of the score when shuffled",
}


def draw(path: Path, title: str, predictions: Predictions, classes: Sequence[str], importances: Importances) -> None:
    """Write the picture to `path` as PNG: errors, curves or residuals, and importances, side by side."""
    figure = Figure(figsize=(15, 5), dpi=PIXELS_PER_INCH, layout=ConstrainedLayoutEngine(w_pad=0.12))
    canvas = FigureCanvasAgg(figure)  # and not pyplot, which keeps its figures
    left, middle, right = figure.subplots(1, 3)
    figure.suptitle(shown(title, 150), fontsize=13)
    if classes:
        _confusion(left, predictions, classes)
        _roc(middle, predictions, classes)
    else:
        _actual(left, predictions)
        _residuals(middle, predictions)
    _bars(right, importances)
    with warnings.catch_warnings():
        # The bundled font lacks most scripts: names in them become boxes, which is no reason to fail.
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        canvas.print_png(path)  # type: ignore[no-untyped-call]  # savefig would draw everything twice


def shown(text: str, characters: int = 24) -> str:
    """Return somebody else's text as a label: one short line, nothing in it taken for mathematics."""
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    short = line if len(line) <= characters else line[: characters - 1] + "…"
    return short.replace("$", r"\$")


def _confusion(axes: Axes, predictions: Predictions, classes: Sequence[str]) -> None:
    counts = confusion_matrix(predictions.truth, predictions.predicted, labels=range(len(classes)))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if len(classes) <= MOST_TICKS:
        labels = [shown(label, 14) for label in classes]
        long = max(map(len, labels)) > 3
        axes.set_xticks(range(len(classes)), labels, rotation=45 if long else 0, ha="right" if long else "center")
        axes.set_yticks(range(len(classes)), labels)
    else:
        axes.set(xticks=[], yticks=[])
    if len(classes) <= MOST_COUNTS:
        for (row, column), count in np.ndenumerate(counts):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{count:,}", ha="center", va="center", color=colour, fontsize=9)
    axes.set(title="Confusion matrix of the test rows", xlabel="predicted", ylabel="true")


def _roc(axes: Axes, predictions: Predictions, classes: Sequence[str]) -> None:
    assert predictions.probabilities is not None  # noqa: S101 - only classes have this panel
    labels = [1] if len(classes) == 2 else range(len(classes))
    many = len(labels) > MOST_CURVES
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1)
    for label in labels:
        area = predictions.auc(label)
        if area is None:
            continue
        false, true, _ = roc_curve(predictions.truth == label, predictions.probabilities[:, label])
        axes.plot(
            false,
            true,
            linewidth=0.8 if many else 1.6,
            color=BLUE if many or len(labels) == 1 else f"C{label}",
            alpha=0.4 if many else 1.0,
            label=f"class {shown(classes[label])}: {area:.3f}",
        )
    if axes.get_legend_handles_labels()[0] and not many:
        axes.legend(title="area under the curve", loc="lower right", fontsize=8, title_fontsize=8)
    what = f"ROC of class {shown(classes[1])}" if len(labels) == 1 else "ROC of each class against the rest"
    axes.set(title=what, xlabel="false positive rate", ylabel="true positive rate")
    _tidy(axes)


def _actual(axes: Axes, predictions: Predictions) -> None:
    true, predicted = predictions.truth[:MOST_POINTS], predictions.predicted[:MOST_POINTS]
    axes.scatter(true, predicted, s=14, alpha=0.5, color=BLUE, linewidths=0)
    ends = [min(true.min(), predicted.min()), max(true.max(), predicted.max())]
    axes.plot(ends, ends, color=ORANGE, linewidth=1.2, label="perfect")
    axes.legend(loc="upper left", fontsize=8)
    axes.set(title="Predicted against true", xlabel="true", ylabel="predicted")
    _tidy(axes)


def _residuals(axes: Axes, predictions: Predictions) -> None:
    predicted = predictions.predicted[:MOST_POINTS]
    axes.scatter(predicted, predictions.truth[:MOST_POINTS] - predicted, s=14, alpha=0.5, color=BLUE, linewidths=0)
    axes.axhline(0, color=ORANGE, linewidth=1.2)
    axes.set(title="Residuals", xlabel="predicted", ylabel="true minus predicted")
    _tidy(axes)


def _bars(axes: Axes, importances: Importances) -> None:
    best = importances.columns[:MOST_BARS][::-1]
    axes.barh(range(len(best)), [entry.importance or 0.0 for entry in best], color=BLUE, height=0.7)
    axes.set_yticks(range(len(best)), [shown(entry.column) for entry in best], fontsize=8)
    count = len(importances.columns)
    axes.set(
        title=f"Importance of the columns{f', the first {len(best)}' if count > len(best) else ''}",
        xlabel=AXIS_OF[importances.method],
    )
    _tidy(axes)


def _tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, color="#e5e5e5", linewidth=0.6)
    axes.set_axisbelow(True)
