"""How long models take to train, judged by those that were: for a progress that is honest about the time left."""

from collections import defaultdict

from offload_shared.tasks.estimators import AnyEstimator


class Pace:
    """Learns from each model that was trained; trees of a kind are taken to cost alike."""

    def __init__(self) -> None:
        self._seconds = defaultdict[str, float](float)  # by the estimator's name
        self._work = defaultdict[str, float](float)

    def learn(self, estimator: AnyEstimator, seconds: float) -> None:
        """Take note of how long a model took."""
        self._seconds[_name(estimator)] += seconds
        self._work[_name(estimator)] += _work(estimator)

    def seconds(self, estimator: AnyEstimator) -> float:
        """Return how long a model may take: as others of its kind have, else as the mean of all; 1 at first."""
        name = _name(estimator)
        if self._work[name]:
            return self._seconds[name] / self._work[name] * _work(estimator)
        total = sum(self._work.values())
        return sum(self._seconds.values()) / total * _work(estimator) if total else 1.0


def in_words(seconds: float) -> str:
    """Return a time left as a person says it."""
    if seconds < 90:
        return f"about {max(1, round(seconds))} s left"
    minutes = seconds / 60
    return f"about {minutes:.0f} min left" if minutes < 90 else f"about {minutes / 60:.1f} h left"


def _name(estimator: AnyEstimator) -> str:
    return str(estimator.__struct_config__.tag)


def _work(estimator: AnyEstimator) -> float:
    return float(getattr(estimator, "trees", 1)) * float(getattr(estimator, "subsample", 1.0))
