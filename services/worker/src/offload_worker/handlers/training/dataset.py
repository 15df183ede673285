"""From the uploaded file to what can be learnt: the rows that have a target, and the columns worth learning from."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from offload_shared.tasks.train_model import DroppedColumn, TrainModel
from offload_worker.handle import JobRejected
from offload_worker.handlers.tables.dialect import find_delimiter
from offload_worker.handlers.tables.records import Records
from offload_worker.handlers.tables.source import Source, open_source
from offload_worker.handlers.training.features import check_wishes, choose_features, strays, unwanted
from offload_worker.handlers.training.progress import Progress, Report
from offload_worker.handlers.training.survey import Survey, take_survey
from offload_worker.handlers.training.table import Column, ReadColumn, read_columns
from offload_worker.handlers.training.target import Target, read_target


@dataclass(frozen=True, slots=True)
class Dataset:
    """A target, the columns to learn it from at the same rows, and how they were got."""

    target: Target
    columns: tuple[Column, ...]
    dropped: tuple[DroppedColumn, ...]
    notes: tuple[str, ...]
    rows_read: int
    delimiter: str
    encoding: str


def read_dataset(path: Path, payload: TrainModel, progress: Progress) -> Dataset:
    """Read the table at `path`, twice since it tells only at its end what it holds; raises `JobRejected`."""
    records = open_records(path, payload)
    check_wishes(payload, records.names)
    survey = take_survey(records, _by_characters(path, progress.stage(0, 4, "Reading the table")))
    refused = unwanted(payload, records.names)
    keeping = _by_characters(path, progress.stage(4, 8, "Keeping its columns"))
    columns = _read(records, survey, payload, refused.keys(), keeping)
    target = read_target(columns.pop(payload.target), survey.columns[payload.target], payload.kind)
    features = choose_features(columns, target.rows, refused=refused, asked_for=payload.features is not None)
    return Dataset(
        target=target,
        columns=features.used,
        dropped=features.dropped,
        notes=(*_about_encoding(records.source), *strays(survey, features.used)),
        rows_read=survey.rows,
        delimiter=records.delimiter,
        encoding=records.source.encoding,
    )


def open_records(path: Path, payload: TrainModel) -> Records:
    """Find out how the table at `path` is written, where the payload does not say; raises `JobRejected`."""
    source = open_source(path, payload.encoding)
    delimiter = payload.delimiter or find_delimiter(source)
    if delimiter is None:
        raise JobRejected(
            "Only one column was found: a target and a feature are needed, and if there are more, name the `delimiter`."
        )
    return Records(source, delimiter)


def _read(
    records: Records, survey: Survey, payload: TrainModel, refused: Collection[str], progress: Callable[[int], None]
) -> dict[str, ReadColumn]:
    words = set(payload.categorical)
    # A stray text among the target's numbers may be a class, and otherwise its line is to be named.
    if survey.columns[payload.target].others:
        words.add(payload.target)
    wanted = [name for name in records.names if name not in refused]
    return read_columns(records, survey, wanted=wanted, as_words=words, precise=payload.target, progress=progress)


def _about_encoding(source: Source) -> list[str]:
    if not source.guessed:
        return []
    return [f"The file is not UTF-8 and was read as {source.encoding}: name its `encoding` if its words look wrong."]


def _by_characters(path: Path, report: Report) -> Callable[[int], None]:
    size = path.stat().st_size  # in bytes; a character has at least one, so that the share is never too large
    return lambda characters: report(characters / size, "")
