"""Models compared in one job: which are tried, which wins, what is told meanwhile, and where another attempt begins."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from offload_shared.tasks.estimators import Linear, NearestNeighbours, RandomForest
from offload_shared.tasks.train_model import Candidate, CrossValidation, Search, SearchResult, TrainModelResult
from offload_testing.job import FakeJob
from offload_worker.handle import JobRejected
from offload_worker.handlers.train_model import train_model
from offload_worker.handlers.training import search as searching
from offload_worker.handlers.training.grid import candidates, combinations
from offload_worker.handlers.training.pace import Pace, in_words
from tests.unit.train_model_tables import FILE_ID, bundled, payload, train

LINEAR = {"name": "linear", "regularization": [0.01, 1, 100]}
FORESTS = {"name": "random-forest", "trees": [5, 10], "max_depth": [None, 2]}


def search(*over: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"search": {"over": over, "folds": 3, **more}}


def searched(result: TrainModelResult) -> SearchResult:
    assert result.search is not None
    return result.search


def test_every_combination_is_tried_and_the_best_is_trained_and_tested(tmp_path: Path) -> None:
    result, _ = train(tmp_path, bundled("wine"), **search(LINEAR, FORESTS))

    found = searched(result)
    assert (7, 7, "accuracy", 3) == (found.combinations, len(found.candidates), found.by, found.folds)
    scores = [getattr(each.mean, "accuracy", 0.0) for each in found.candidates]
    assert sorted(scores, reverse=True) == scores
    best = found.candidates[0]
    assert result.estimator == best.estimator
    assert CrossValidation(folds=3, repeats=1, mean=best.mean, std=best.std) == result.cross_validation  # type: ignore[arg-type]
    assert (tmp_path / "model.onnx").exists()
    assert result == msgspec.json.decode(msgspec.json.encode(result), type=TrainModelResult)


def test_an_error_is_better_the_smaller_it_is(tmp_path: Path) -> None:
    result, _ = train(
        tmp_path, bundled("diabetes"), **search({"name": "nearest-neighbours", "neighbours": [1, 20]}, by="mae")
    )

    assert NearestNeighbours(neighbours=20) == result.estimator
    assert "mae" == searched(result).by


def test_of_many_combinations_some_are_drawn_the_same_ones_for_the_same_seed() -> None:
    many = [number / 10 for number in range(1, 21)]
    wanted = msgspec.convert(
        {"over": [{"name": "linear", "regularization": many, "balanced": [True, False]}], "most": 7}, Search
    )

    first, again, other = (candidates(wanted, seed) for seed in (1, 1, 2))

    assert (40, 7, first) == (combinations(wanted), len(set(first)), again)
    assert first != other


def test_values_named_twice_are_tried_once() -> None:
    wanted = msgspec.convert({"over": [{"name": "linear", "regularization": [1, 1.0, 2]}, {"name": "linear"}]}, Search)

    assert [Linear(), Linear(regularization=2.0)] == candidates(wanted, 0)


def test_a_candidate_that_cannot_be_trained_says_why_and_the_others_are_compared(tmp_path: Path) -> None:
    result, _ = train(tmp_path, bundled("iris"), **search({"name": "nearest-neighbours", "neighbours": [1000, 5]}))

    assert NearestNeighbours() == result.estimator
    last = searched(result).candidates[-1]
    assert (None, True) == (last.mean, "fewer than the 1,000 neighbours" in (last.refused or ""))
    assert "1 of the candidates could not be trained; `search.candidates` says why." in result.notes


@pytest.mark.parametrize(
    ("wishes", "sentence"),
    [
        (
            search({"name": "nearest-neighbours", "neighbours": [1000]}),
            "None of the 1 candidates can be trained; the first: ",
        ),
        (search(LINEAR, by="r2"), "'target' holds classes, which `r2` is no score of"),
    ],
)
def test_a_search_that_cannot_be_is_refused(tmp_path: Path, wishes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(JobRejected, match=sentence):
        train(tmp_path, bundled("iris"), **wishes)


@pytest.mark.parametrize(
    "wrong",
    [
        {"search": {"over": []}},
        search({"name": "linear", "regularization": []}),
        search({"name": "linear", "regularization": [-1]}),
        search({"name": "linear", "regularization": 1}),
        search({"name": "linear", "colour": [1]}),
        search({"name": "pickle"}),
        search(LINEAR, most=501),
        search(LINEAR) | {"cross_validation_folds": 3},
    ],
)
def test_a_search_outside_of_what_is_allowed_is_no_payload(wrong: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        payload(**wrong)


def test_progress_tells_the_candidate_the_best_so_far_and_the_time_left(tmp_path: Path) -> None:
    _, job = train(tmp_path, bundled("wine"), **search(LINEAR, FORESTS))

    percents = [percent for percent, _ in job.reports]
    assert sorted(percents) == percents
    messages = [message for _, message in job.reports if message.startswith("Comparing models: ")]
    assert messages[0].startswith("Comparing models: candidate 1 of 7, about ")
    assert "candidate 7 of 7, best accuracy 0." in messages[-1]
    assert all(" left; fold " in message for message in messages)


def test_the_time_left_is_judged_by_models_of_the_kind_and_their_trees() -> None:
    pace = Pace()
    assert 1 == pace.seconds(Linear())
    pace.learn(RandomForest(trees=100), 10)
    pace.learn(Linear(), 0.5)

    assert (30, 0.5) == (pace.seconds(RandomForest(trees=300)), pace.seconds(Linear(regularization=2)))
    assert ["about 1 s left", "about 89 s left", "about 30 min left", "about 2.0 h left"] == [
        in_words(seconds) for seconds in (0.1, 89, 1800, 7200)
    ]


def test_another_attempt_goes_on_behind_what_was_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "SAVE_SECONDS", 0)
    whole, job = train(tmp_path, bundled("wine"), **search(LINEAR, FORESTS))
    saved = msgspec.json.decode(job.states[4], type=list[Candidate])
    assert 5 == len(saved)

    again = FakeJob(tmp_path, attempt=2, states=[job.states[4]])
    result = train_model(payload(**search(LINEAR, FORESTS)), again)

    assert "Going on behind 5 candidates that an earlier attempt has compared" in again.lines
    assert 2 == len(again.states) - 1
    assert set(saved) < set(searched(result).candidates)
    assert whole.estimator == result.estimator
    first = next(percent for percent, message in again.reports if "candidate 6 of 7" in message)
    assert first > 30


@pytest.mark.parametrize("saved", [b"", b"nonsense", b"[]", b'[{"estimator": 5}]'])
def test_a_state_that_is_of_no_use_is_passed_over(tmp_path: Path, saved: bytes) -> None:
    job = FakeJob(tmp_path, states=[saved])
    job.upload(FILE_ID, bundled("iris"))

    result = train_model(payload(**search(LINEAR)), job)

    assert 3 == len(searched(result).candidates)
