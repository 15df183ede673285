"""What is to be learnt, and what was: scikit-learn's estimators behind the two things that are asked of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from offload_shared.tasks.estimators import AnyEstimator, Linear, NearestNeighbours
from offload_shared.tasks.train_model import Kind, TrainModel
from offload_worker.handle import JobRejected
from offload_worker.handlers.tables.wording import quoted
from offload_worker.handlers.training.encoder import Matrix
from offload_worker.handlers.training.target import Target

Values = NDArray[np.int64] | NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Problem:
    """What is to be learnt, by what, and from which seed."""

    estimator: AnyEstimator
    kind: Kind
    classes: int  # 0 for regression
    seed: int

    @property
    def is_classification(self) -> bool:
        """Whether classes are predicted."""
        return self.kind == Kind.CLASSIFICATION

    @property
    def standardized(self) -> bool:
        """Whether the estimator compares columns with each other, so that their units must not matter."""
        return isinstance(self.estimator, Linear | NearestNeighbours)


def state_problem(payload: TrainModel, target: Target) -> Problem:
    """Return what the payload asks for now that the target is known; raises `JobRejected` when that cannot be."""
    if target.kind == Kind.REGRESSION and getattr(payload.estimator, "balanced", False):
        raise JobRejected(f"Classes can be balanced, but {quoted(target.name)} holds numbers; leave `balanced` out.")
    return Problem(payload.estimator, target.kind, len(target.classes), payload.seed)


@dataclass(frozen=True, slots=True)
class Model:
    """A fitted estimator of scikit-learn, and the rows it learnt from."""

    problem: Problem
    fitted: Any
    learnt: tuple[Matrix, Values]  # which nearest neighbours are looked up in

    def predict(self, matrix: Matrix) -> Values:
        """Return the class's place or the number for each row."""
        values: Values = self.fitted.predict(self._input(matrix))
        return values

    def probabilities(self, matrix: Matrix) -> NDArray[np.float64]:
        """Return the probability of every class for each row, shape (rows, classes); 0 for one it never saw."""
        spread = np.zeros((len(matrix), self.problem.classes))
        spread[:, self.fitted.classes_] = self.fitted.predict_proba(self._input(matrix))
        return spread

    def notes(self) -> list[str]:
        """Return what the client should know of the training."""
        if isinstance(self.fitted, LogisticRegression) and self.fitted.n_iter_.max() >= self.fitted.max_iter:
            limit = f"{self.fitted.max_iter:,} iterations"
            return [f"Logistic regression had not settled after {limit}: raise `max_iterations` or `regularization`."]
        return []

    def _input(self, matrix: Matrix) -> NDArray[np.floating]:
        return matrix.astype(np.float64) if isinstance(self.problem.estimator, Linear) else matrix
