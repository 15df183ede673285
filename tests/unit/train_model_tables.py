"""Tables to train on, as clients would upload them, and the shortest way to train."""

import csv
import io
import random
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from sklearn import datasets

from offload_shared.tasks.train_model import TrainModel, TrainModelResult
from offload_testing.job import FakeJob
from offload_worker.handlers.train_model import train_model
from offload_worker.handlers.training.dataset import Dataset, read_dataset
from offload_worker.handlers.training.progress import Progress

FILE_ID = "f" * 32

FEW_TREES = {"name": "random-forest", "trees": 5}


def payload(**wishes: Any) -> TrainModel:
    """Return a payload as it comes over HTTP; the target is the column `target` unless it says otherwise."""
    body = msgspec.json.encode({"file_id": FILE_ID, "target": "target", **wishes})
    return msgspec.json.decode(body, type=TrainModel)


def train(folder: Path, table: bytes, **wishes: Any) -> tuple[TrainModelResult, FakeJob]:
    """Train on `table` and return the result, and the job that tells how it went."""
    job = FakeJob(folder)
    job.upload(FILE_ID, table)
    return train_model(payload(**wishes), job), job


def read(folder: Path, table: bytes, **wishes: Any) -> Dataset:
    """Read `table` as far as it can be learnt from, without training."""
    job = FakeJob(folder)
    job.upload(FILE_ID, table)
    return read_dataset(job.file(FILE_ID), payload(**wishes), Progress(job))


def write_csv(header: Sequence[object], rows: Iterable[Sequence[object]], delimiter: str = ",") -> bytes:
    """Return a table in UTF-8."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerows([header, *rows])
    return text.getvalue().encode()


def bundled(name: str) -> bytes:
    """Return one of the data sets that come with scikit-learn; classes by their names."""
    data = getattr(datasets, f"load_{name}")()
    names = getattr(data, "target_names", None)
    target = data.target if names is None else [names[place] for place in data.target]
    rows = ([*map(float, row), label] for row, label in zip(data.data, target, strict=True))
    return write_csv([*data.feature_names, "target"], rows)


def small(
    row: Callable[[int], Sequence[object]], header: Sequence[object] = ("a", "b", "target"), rows: int = 40
) -> bytes:
    """Return a table of what `row` makes of 0, 1, 2 and so on."""
    return write_csv(header, map(row, range(rows)))


def usual(place: int) -> list[object]:
    """Return a row of a table that can be learnt from: a number, a word, and a class."""
    return [place * 1.5, "xyz"[place % 3], "yes" if place % 2 else "no"]


def mixed(rows: int = 400) -> bytes:
    """Return customers that leave or stay, in a table as real ones are: gaps, rare words, identifiers, dead columns."""
    draw = random.Random(7)
    towns = ["Köln", "Bonn", "Trier"] * 20 + [f"village {place}" for place in range(25)]

    def customer(place: int) -> list[object]:
        age, town, plan = draw.gauss(45, 12), draw.choice(towns), draw.choice(["basic", "gold", ""])
        leaves = age < 40 or (plan == "gold" and town == "Bonn")
        target = "leaves" if leaves != (draw.random() < 0.05) else "stays"
        income = draw.choice(["", "NA", f"{20_000 + age * 800:.2f}"])
        return [place, f"u-{draw.random()}", f"{age:.1f}", income, town, plan, 50_667 + place % 7, "", "EUR", target]

    header = ["id", "token", "age", "income", "town", "plan", "postcode", "fax", "currency", "target"]
    return write_csv(header, map(customer, range(rows)))
