"""Cross-validation on the training rows: the test rows stay unseen."""

import warnings
from collections.abc import Iterator, Sequence

import numpy as np
from sklearn.model_selection import RepeatedKFold, RepeatedStratifiedKFold

from offload_shared.tasks.train_model import CrossValidation
from offload_worker.handle import JobRejected
from offload_worker.handlers.tables.wording import quoted
from offload_worker.handlers.training.encoder import fit_encoder
from offload_worker.handlers.training.fitting import fit
from offload_worker.handlers.training.models import Problem, Values
from offload_worker.handlers.training.progress import Report, part
from offload_worker.handlers.training.scores import mean_and_std, predict, score
from offload_worker.handlers.training.split import Rows
from offload_worker.handlers.training.table import Column


def check_folds(values: Values, classes: Sequence[str], folds: int) -> None:
    """Raise `JobRejected` when the training rows cannot be cut into so many folds."""
    if len(values) < folds * 2:
        raise JobRejected(f"{len(values)} training rows are too few for {folds} folds; ask for fewer.")
    counts = np.bincount(values.astype(np.int64)) if classes else np.array([len(values)])
    if counts.max() < folds:
        raise JobRejected(f"No class has {folds} training rows, one for each fold; ask for fewer folds.")
    for label, count in zip(classes, counts, strict=False):
        if count < 2:
            raise JobRejected(
                f"The class {quoted(label)} has a single training row, too few to cross-validate; "
                "give it more rows, or leave out `cross_validation_folds`."
            )


def cross_validate(
    problem: Problem, columns: Sequence[Column], values: Values, *, folds: int, repeats: int, report: Report
) -> CrossValidation:
    """Train and test on changing parts of the training rows; encoders, too, are fitted on each part alone."""
    found = []
    for place, (learn, check) in enumerate(_parts(problem, values, folds, repeats)):
        title = f"fold {place % folds + 1} of {folds}"
        title = f"repeat {place // folds + 1} of {repeats}, {title}" if repeats > 1 else title
        learnt = [column.at(learn) for column in columns]
        encoder = fit_encoder(learnt, standardized=problem.standardized)
        model = fit(problem, encoder.encode(learnt), values[learn], part(report, place, folds * repeats, title))
        found.append(score(predict(model, encoder.encode([column.at(check) for column in columns]), values[check])))
        report((place + 1) / (folds * repeats), title)
    mean, std = mean_and_std(found)
    return CrossValidation(folds=folds, repeats=repeats, mean=mean, std=std)


def _parts(problem: Problem, values: Values, folds: int, repeats: int) -> Iterator[tuple[Rows, Rows]]:
    kind = RepeatedStratifiedKFold if problem.is_classification else RepeatedKFold
    parts = kind(n_splits=folds, n_repeats=repeats, random_state=problem.seed).split(values, values)
    for _ in range(folds * repeats):
        with warnings.catch_warnings():
            # That not every fold tests a class with fewer rows than folds is fine: every fold learns it.
            warnings.filterwarnings("ignore", "The least populated class", UserWarning)
            learn_and_check = next(parts)
        yield learn_and_check
