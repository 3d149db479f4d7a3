"""What the columns of a raw format mean, and the one road from blocks of columns to an EventLog."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from input_pipeline.log.events import EventLog, FeatureValues
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.sources import columns
from input_pipeline.sources.block import Block
from input_pipeline.sources.feature_columns import FeatureColumn
from input_pipeline.sources.malformed import LineNumbers, MalformedLines, Problem
from input_pipeline.sources.remarks import (
    TOO_EARLY,
    TOO_LATE,
    UNKNOWN_EVENTS,
    Remarks,
)
from input_pipeline.sources.time_checks import time_remark
from input_pipeline.sources.time_range import TimeRange
from input_pipeline.spec import SourceFile


@dataclasses.dataclass(frozen=True)
class RawRows:
    """One raw file as an iterator of blocks.

    Attributes:
      path: of the file.
      blocks: columns by name and number of rows, one block after another.
      lines: line numbers of the rows, and of lines that gave none, as far as `blocks` was read.
      problems: of the lines that gave no row.
      source_file: to be called when `blocks` is exhausted.
    """

    path: str
    blocks: Iterator[tuple[dict[str, pa.Array], int]]
    lines: LineNumbers
    problems: list[Problem]
    source_file: Callable[[], SourceFile]


@dataclasses.dataclass(frozen=True)
class Layout:
    """The meaning of a format's columns.

    Attributes:
      tasks: names of the tasks, least important first.
      user_column, item_column: columns of the ids.
      timestamp_column: of the time; None: the source has no clock.
      timestamp_unit: of the timestamp column.
      behaviors: from a block to the bits of tasks shown and the bits of tasks not told about,
        uint32 [N] each; it refuses malformed rows.
      features: the columns that are features.
      label_columns: the columns that `behaviors` reads.
      has_exposures: whether lines may show no behaviour; None: if there is such a line.
    """

    tasks: tuple[str, ...]
    user_column: str
    item_column: str
    timestamp_column: str | None
    timestamp_unit: str | None
    behaviors: Callable[[Block], tuple[NDArray[Any], NDArray[Any]]]
    label_columns: tuple[str, ...]
    features: tuple[FeatureColumn, ...] = ()
    has_exposures: bool | None = False

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read, each once."""
        names = [self.user_column, self.item_column, *self.label_columns]
        names += [self.timestamp_column] if self.timestamp_column else []
        names += [feature.cells for feature in self.features]
        return tuple(dict.fromkeys(names))


class _Parts:
    """The good rows of every block, column by column."""

    def __init__(self, layout: Layout, time_range: TimeRange) -> None:
        self._layout = layout
        self._time_range = time_range
        names = ("user_id", "item_id", *(feature.name for feature in layout.features))
        self.cells: dict[str, list[pa.Array]] = {name: [] for name in names}
        self.behaviors: list[NDArray[Any]] = []
        self.unlabeled: list[NDArray[Any]] = []
        self.timestamps: list[NDArray[Any]] = []

    def add(self, block: Block) -> None:
        layout = self._layout
        # These say first which rows are no part of the log, whose other cells then do not matter.
        behaviors, unlabeled = layout.behaviors(block)
        numbers = None
        if layout.timestamp_column:
            numbers = block.timestamps(layout.timestamp_column)
            self._time_range.cut(block, layout.timestamp_column, numbers)
        read = {
            "user_id": block.identifiers(layout.user_column),
            "item_id": block.identifiers(layout.item_column),
        }
        for feature in layout.features:
            read[feature.name] = feature.read(block)
        good = ~(block.malformed | block.left_out)
        whole = bool(good.all())
        keep = None if whole else pa.array(good)
        for name, values in read.items():
            self.cells[name].append(values if whole else _filter(values, keep))
        self.behaviors.append(behaviors[good])
        self.unlabeled.append(unlabeled[good])
        if numbers is not None:
            self.timestamps.append(numbers[good])


def _filter(values: pa.Array, keep: pa.Array) -> pa.Array:
    """Drops rows, and the values that only they had."""
    if not pa.types.is_dictionary(values.type):
        return values.filter(keep)
    return pc.dictionary_encode(values.filter(keep).cast(values.type.value_type))


def read_log(rows: Iterator[RawRows], layout: Layout, options: PreparationOptions) -> EventLog:
    """Reads every file, refuses malformed lines and finds the repeated ones.

    Raises:
      ValueError: more lines are malformed than `options.max_malformed` allows, or none is left,
        or the timestamps are in another unit than told.
    """
    unit = layout.timestamp_unit or options.timestamp_unit
    parts = _Parts(layout, TimeRange.of(options, layout.timestamp_column, unit))
    report, remarks = MalformedLines(), Remarks()
    source_files = []
    for file in rows:
        problems: list[Problem] = []
        row, malformed = 0, 0
        for block_columns, size in file.blocks:
            block = Block(block_columns, size, unit, options.null_markers)
            parts.add(block)

            def lines_of(rows: NDArray[Any], file: RawRows = file, row: int = row) -> NDArray[Any]:
                return file.lines.of(row + rows)

            remarks.add(block, file.path, lines_of)
            if block.problems and len(problems) < 100:
                lines = lines_of(np.array([problem[0] for problem in block.problems]))
                problems += [
                    Problem(file.path, int(line), *problem[1:])
                    for line, problem in zip(lines, block.problems, strict=True)
                ]
            malformed += int(block.malformed.sum())
            row += size
        malformed += file.lines.malformed
        report.add(problems + file.problems, malformed, row + file.lines.beyond_rows)
        source_files.append(file.source_file())
    report.check(options.max_malformed)
    _check_left(parts, remarks)
    log = _event_log(parts, layout, source_files, report.malformed)
    counts = remarks.tell(unit, time_remark(log.timestamp, unit, remarks))
    log = dataclasses.replace(log, other_counts=counts)
    return drop_duplicates(log, options.duplicates)


def _check_left(parts: _Parts, remarks: Remarks) -> None:
    """Raises ValueError where all lines were left out."""
    if any(map(len, parts.behaviors)):
        return
    for column, remark in remarks.of(UNKNOWN_EVENTS).items():
        raise ValueError(
            f"--task_columns: no line is left: none names a type of event in column {column!r}, "
            f"which has {remark.by_value}"
        )
    early, late = ([*remarks.of(kind).values()] for kind in (TOO_EARLY, TOO_LATE))
    flags = " and ".join(
        [f"--time_from: earlier are {r.count:,} ({r})" for r in early]
        + [f"--time_to: {r.count:,} are not before it ({r})" for r in late]
    )
    raise ValueError(f"no line is left by {flags}")


def _event_log(
    parts: _Parts, layout: Layout, source_files: list[SourceFile], malformed: int
) -> EventLog:
    ids = [
        columns.to_categorical(parts.cells.pop(name), column)
        for name, column in (("user_id", layout.user_column), ("item_id", layout.item_column))
    ]
    features: dict[str, dict[str, FeatureValues]] = {"user": {}, "item": {}, "context": {}}
    for feature in layout.features:
        features[feature.owner][feature.name] = feature.join(parts.cells.pop(feature.name))
    behaviors = np.concatenate(parts.behaviors)
    unlabeled = np.concatenate(parts.unlabeled)
    exposures = layout.has_exposures
    if exposures is None:
        exposures = bool((behaviors == 0).any())
    return EventLog(
        tasks=layout.tasks,
        user_id=ids[0],
        item_id=ids[1],
        behaviors=behaviors,
        unlabeled=unlabeled if unlabeled.any() else None,
        timestamp=np.concatenate(parts.timestamps) if layout.timestamp_column else None,
        timestamp_unit=layout.timestamp_unit if layout.timestamp_column else None,
        user_features=features["user"],
        item_features=features["item"],
        context_features=features["context"],
        source_files=tuple(source_files),
        malformed_lines=malformed,
        duplicate_lines=0,
        has_exposures=exposures,
    )


def repeated_lines(log: EventLog) -> NDArray[Any]:
    """bool [N]: whether an earlier line is equal in every column."""
    keys = [log.user_id.codes, log.item_id.codes, log.behaviors]
    keys += [] if log.unlabeled is None else [log.unlabeled]
    keys += [] if log.timestamp is None else [log.timestamp]
    keys += [column.key for named in log.features.values() for column in named.values()]
    order = np.lexsort(keys)  # Stable, so the earliest of equal lines comes first.
    same = np.ones(max(len(log) - 1, 0), bool)
    for key in keys:
        same &= key[order[1:]] == key[order[:-1]]
    repeated = np.zeros(len(log), bool)
    repeated[order[1:]] = same
    return repeated


def select_lines(log: EventLog, lines: NDArray[Any]) -> EventLog:
    """The log of some of its lines; a value that no line has any more is dropped too."""

    def take(named: dict[str, FeatureValues]) -> dict[str, FeatureValues]:
        return {name: column.take(lines) for name, column in named.items()}

    return dataclasses.replace(
        log,
        user_id=log.user_id.take(lines),
        item_id=log.item_id.take(lines),
        behaviors=log.behaviors[lines],
        unlabeled=None if log.unlabeled is None else log.unlabeled[lines],
        timestamp=None if log.timestamp is None else log.timestamp[lines],
        user_features=take(log.user_features),
        item_features=take(log.item_features),
        context_features=take(log.context_features),
    )


def drop_duplicates(log: EventLog, duplicates: str) -> EventLog:
    """Counts the repeated lines, and drops them with `duplicates="drop"`."""
    repeated = repeated_lines(log)
    log = dataclasses.replace(log, duplicate_lines=int(repeated.sum()))
    if duplicates == "drop" and log.duplicate_lines:
        return select_lines(log, ~repeated)
    return log
