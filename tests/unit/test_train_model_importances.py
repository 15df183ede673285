from pathlib import Path

import numpy as np

from offload_shared.tasks.estimators import GradientBoosting
from offload_shared.tasks.train_model import Importance, Kind
from offload_worker.handlers.training.fitting import fit
from offload_worker.handlers.training.importances import weigh_columns
from offload_worker.handlers.training.models import Problem
from offload_worker.handlers.training.parts import encode_parts
from offload_worker.handlers.training.split import Split
from tests.unit.train_model_tables import read, small


def test_splits_that_gain_nothing_have_no_importance(tmp_path: Path) -> None:
    data = read(tmp_path, small(lambda place: [place % 2, "x", place // 2 % 2]))
    problem = Problem(GradientBoosting(trees=1, max_depth=1), Kind.CLASSIFICATION, 2, seed=0)
    parts = encode_parts(problem, data, Split(np.arange(40), np.arange(40), stratified=True))
    model = fit(problem, parts.train.matrix, parts.train.values, lambda _share, _detail: None)

    found = weigh_columns(model, parts, lambda _share, _detail: None)

    assert (Importance(column="a", importance=None),) == found.columns
