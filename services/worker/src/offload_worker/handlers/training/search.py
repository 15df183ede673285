"""Compares models by cross-validation, and saves what was found, for an attempt that takes over."""

import time
from collections.abc import Sequence

import msgspec
from msgspec import structs

from offload_shared.tasks.estimators import AnyEstimator
from offload_shared.tasks.train_model import (
    Candidate,
    ClassificationScores,
    CrossValidation,
    Kind,
    Metric,
    RegressionScores,
    Search,
    SearchResult,
    TrainModel,
)
from offload_worker.handle import JobHandle, JobRejected
from offload_worker.handlers.tables.wording import quoted
from offload_worker.handlers.training.dataset import Dataset
from offload_worker.handlers.training.grid import candidates, combinations
from offload_worker.handlers.training.models import Values, state_problem
from offload_worker.handlers.training.pace import Pace, in_words
from offload_worker.handlers.training.progress import Report
from offload_worker.handlers.training.table import Column
from offload_worker.handlers.training.validation import check_folds, cross_validate

#: Between two saves: what is lost with an attempt is no more than took so long, and the candidate under way.
SAVE_SECONDS = 0.5
LOWER_IS_BETTER = ("mae", "rmse")

_found = msgspec.json.Decoder(tuple[Candidate, ...])


def search_models(
    payload: TrainModel,
    search: Search,
    data: Dataset,
    *,
    columns: Sequence[Column],
    values: Values,
    job: JobHandle,
    report: Report,
) -> SearchResult:
    """Cross-validate every candidate on the training rows; raises `JobRejected` when none can be trained."""
    by = _metric(search, data)
    check_folds(values, data.target.classes, search.folds)
    wanted = candidates(search, payload.seed)
    comparison = _Comparison(wanted, by, job, report)
    for estimator in wanted[len(comparison.found) :]:
        began = time.monotonic()
        try:
            problem = state_problem(structs.replace(payload, estimator=estimator), data.target)
            scores = cross_validate(
                problem, columns, values, folds=search.folds, repeats=1, report=comparison.under_way(estimator)
            )
            mean, std, refused = scores.mean, scores.std, None
        except JobRejected as error:
            mean, std, refused = None, None, str(error)
        seconds = round(time.monotonic() - began, 3)
        comparison.add(Candidate(estimator=estimator, mean=mean, std=std, refused=refused, seconds=seconds))
    ranked = tuple(sorted(comparison.found, key=lambda each: _rank(each, by)))
    if ranked[0].mean is None:
        raise JobRejected(f"None of the {len(ranked)} candidates can be trained; the first: {ranked[0].refused}")
    return SearchResult(by=by, folds=search.folds, combinations=combinations(search), candidates=ranked)


def validation_of(found: SearchResult) -> CrossValidation:
    """Return the scores of the best candidate over the folds."""
    best = found.candidates[0]
    assert best.mean is not None  # noqa: S101 - a search without such a candidate is refused
    assert best.std is not None  # noqa: S101
    return CrossValidation(folds=found.folds, repeats=1, mean=best.mean, std=best.std)


def notes_of(found: SearchResult) -> list[str]:
    """Return what a careful reader should know of a search."""
    notes = []
    if found.combinations > len(found.candidates):
        notes.append(f"{len(found.candidates):,} of {found.combinations:,} combinations were compared.")
    if refused := sum(each.refused is not None for each in found.candidates):
        notes.append(f"{refused:,} of the candidates could not be trained; `search.candidates` says why.")
    return notes


def _metric(search: Search, data: Dataset) -> Metric:
    classifies = data.target.kind == Kind.CLASSIFICATION
    by: Metric = search.by or ("accuracy" if classifies else "r2")
    if by not in (ClassificationScores if classifies else RegressionScores).__struct_fields__:
        holds = "classes" if classifies else "numbers"
        raise JobRejected(f"{quoted(data.target.name)} holds {holds}, which `{by}` is no score of; name another `by`.")
    return by


def _rank(candidate: Candidate, by: Metric) -> tuple[bool, float]:
    score = _score(candidate, by)
    if score is None:
        return (True, 0.0)
    return (False, score if by in LOWER_IS_BETTER else -score)


def _score(candidate: Candidate, by: Metric) -> float | None:
    return None if candidate.mean is None else getattr(candidate.mean, by)


class _Comparison:
    """What was found so far, also by an earlier attempt, and what the client is told of it."""

    def __init__(self, wanted: Sequence[AnyEstimator], by: Metric, job: JobHandle, report: Report) -> None:
        self._wanted = wanted
        self._by = by
        self._job = job
        self._report = report
        self._pace = Pace()
        self._saved_at = time.monotonic()
        self.found = _of_earlier_attempt(job, wanted)
        for each in self.found:
            self._pace.learn(each.estimator, each.seconds)
        if self.found:
            job.log(f"Going on behind {len(self.found)} candidates that an earlier attempt has compared")

    def under_way(self, estimator: AnyEstimator) -> Report:
        """Return what tells how much of a candidate is done."""

        def report(share: float, detail: str) -> None:
            done = sum(each.seconds for each in self.found) + share * self._pace.seconds(estimator)
            ahead = self._wanted[len(self.found) + 1 :]
            left = (1 - share) * self._pace.seconds(estimator) + sum(map(self._pace.seconds, ahead))
            self._report(done / (done + left), f"{self._so_far()}, {in_words(left)}; {detail}")

        return report

    def _so_far(self) -> str:
        place = f"candidate {len(self.found) + 1} of {len(self._wanted)}"
        best = min(self.found, key=lambda each: _rank(each, self._by), default=None)
        score = _score(best, self._by) if best else None
        return place if score is None else f"{place}, best {self._by} {score:.3f}"

    def add(self, candidate: Candidate) -> None:
        """Take a candidate in."""
        self.found.append(candidate)
        self._pace.learn(candidate.estimator, candidate.seconds)
        if time.monotonic() - self._saved_at >= SAVE_SECONDS:
            self._job.save(msgspec.json.encode(self.found))
            self._saved_at = time.monotonic()


def _of_earlier_attempt(job: JobHandle, wanted: Sequence[AnyEstimator]) -> list[Candidate]:
    saved = job.saved()
    try:
        found = list(_found.decode(saved)) if saved else []
    except msgspec.MsgspecError:  # of a version that knew it otherwise
        return []
    return found if [each.estimator for each in found] == list(wanted[: len(found)]) else []
