from typing import Any

import msgspec
import pytest

from offload_shared.tasks.estimators import RandomForest
from offload_shared.tasks.task import RunsIn
from offload_shared.tasks.train_model import TRAIN_MODEL
from tests.unit.train_model_tables import payload


def test_a_file_and_a_target_are_enough() -> None:
    assert RandomForest(trees=300) == payload().estimator


def test_estimators_are_told_apart_by_name() -> None:
    wish = {"name": "random-forest", "trees": 300, "max_depth": None}

    assert RandomForest(trees=300, max_depth=None) == payload(estimator=wish).estimator


@pytest.mark.parametrize(
    "wishes",
    [
        {"file_id": "../etc/passwd"},
        {"target": ""},
        {"kind": "clustering"},
        {"estimator": {"name": "svm"}},
        {"estimator": {"trees": 5}},
        {"estimator": {"name": "random-forest", "trees": 0}},
        {"estimator": {"name": "random-forest", "trees": 5001}},
        {"estimator": {"name": "random-forest", "trees": 2.5}},
        {"estimator": {"name": "random-forest", "max_depth": 0}},
        {"estimator": {"name": "random-forest", "learning_rate": 0.1}},
        {"estimator": {"name": "gradient-boosting", "learning_rate": 0}},
        {"estimator": {"name": "gradient-boosting", "subsample": 1.1}},
        {"estimator": {"name": "nearest-neighbours", "neighbours": 0}},
        {"estimator": {"name": "linear", "regularization": -1}},
        {"test_share": 0.0},
        {"test_share": 0.9},
        {"cross_validation_folds": 1},
        {"cross_validation_folds": 21},
        {"cross_validation_repeats": 2},
        {"seed": -1},
        {"seed": 2**32},
        {"delimiter": ""},
        {"delimiter": ";;"},
        {"delimiter": '"'},
        {"delimiter": "\n"},
        {"delimiter": "a"},
        {"encoding": "rot13"},
        {"features": []},
        {"features": ["a", "target"]},
        {"ignore": ["target"]},
        {"kind": "regression", "estimator": {"name": "linear", "balanced": True}},
        {"unknown": 1},
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused_before_it_is_queued(wishes: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        payload(**wishes)


def test_it_runs_in_a_child_that_can_be_killed() -> None:
    assert ("train-model", "cpu", RunsIn.PROCESS) == (TRAIN_MODEL.name, TRAIN_MODEL.queue, TRAIN_MODEL.runs_in)
    assert (3600, 2048, 3) == (TRAIN_MODEL.timeout_seconds, TRAIN_MODEL.memory_limit_mb, TRAIN_MODEL.max_attempts)


def test_the_payload_has_a_schema_with_every_estimator() -> None:
    schema = msgspec.json.schema(TRAIN_MODEL.payload)

    mapping = schema["$defs"]["TrainModel"]["properties"]["estimator"]["discriminator"]["mapping"]
    expected = {"linear", "random-forest", "extra-trees", "gradient-boosting", "nearest-neighbours"}
    assert expected == mapping.keys()
