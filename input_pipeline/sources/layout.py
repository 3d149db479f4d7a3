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
from input_pipeline.sources.feature_columns import FeatureColumn
from input_pipeline.sources.malformed import LineNumbers, MalformedLines, Problem
from input_pipeline.spec import SourceFile

_INT64_RANGE = "a decimal integer within int64"
_FLOAT_RANGE = "a finite number within float32, or empty where there is none"
_CALENDAR = (-62_135_596_800, 253_402_300_799)  # seconds: the years 1 to 9999


class Block:
    """Consecutive rows of a file, whose malformed rows are being found.

    Attributes:
      columns: pa.Array of binary by column name, [N] each, without nulls.
      malformed: bool [N].
      problems: (row, column, value, requirement) of the first malformed rows.
      timestamp_unit: of times that are integers.
    """

    def __init__(
        self, block_columns: dict[str, pa.Array], size: int, timestamp_unit: str = "s"
    ) -> None:
        self.columns = block_columns
        self.timestamp_unit = timestamp_unit
        self.malformed = np.zeros(size, bool)
        self.problems: list[tuple[int, str, str, str]] = []

    def __len__(self) -> int:
        return len(self.malformed)

    def refuse(self, column: str, mask: NDArray[Any], requirement: str) -> None:
        """Marks the rows of `mask`; their values in `column` are not as required."""
        for row in np.flatnonzero(mask & ~self.malformed)[:5]:
            value = self.columns[column][int(row)].as_py().decode("utf-8", "replace")
            self.problems.append((int(row), column, value, requirement))
        self.malformed |= mask

    def integers(self, column: str, requirement: str = _INT64_RANGE) -> NDArray[Any]:
        """int64 [N]."""
        numbers, malformed = columns.parse_integers(self.columns[column])
        self.refuse(column, malformed, requirement)
        return numbers

    def numbers(self, column: str) -> NDArray[Any]:
        """float32 [N]; NaN where there is none."""
        numbers, malformed = columns.parse_numbers(self.columns[column])
        self.refuse(column, malformed, _FLOAT_RANGE)
        return numbers

    def times(self, column: str) -> tuple[NDArray[Any], NDArray[Any]]:
        """int64 [N], seconds since 1970 in UTC, and bool [N], whether the cell is empty."""
        seconds, empty, malformed = columns.parse_times(self.columns[column], self.timestamp_unit)
        requirement = f"a time of the years 1 to 9999, in {self.timestamp_unit} or as ISO 8601"
        self.refuse(column, malformed, requirement)
        return seconds, empty

    def choices(self, column: str, choices: tuple[bytes, ...], requirement: str) -> NDArray[Any]:
        """int64 [N]: places in `choices`; -1 in malformed rows."""
        places, malformed = columns.parse_choices(self.columns[column], choices)
        self.refuse(column, malformed, requirement)
        return places

    def identifiers(self, column: str) -> pa.DictionaryArray:
        """Values of a column that must not be empty, encoded."""
        self.refuse(column, columns.empty_cells(self.columns[column]), "a non-empty id")
        return pc.dictionary_encode(self.columns[column])


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

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        names = ("user_id", "item_id", *(feature.name for feature in layout.features))
        self.cells: dict[str, list[pa.Array]] = {name: [] for name in names}
        self.behaviors: list[NDArray[Any]] = []
        self.unlabeled: list[NDArray[Any]] = []
        self.timestamps: list[NDArray[Any]] = []

    def add(self, block: Block) -> None:
        layout = self._layout
        read = {
            "user_id": block.identifiers(layout.user_column),
            "item_id": block.identifiers(layout.item_column),
        }
        for feature in layout.features:
            read[feature.name] = feature.read(block)
        behaviors, unlabeled = layout.behaviors(block)
        numbers = block.integers(layout.timestamp_column) if layout.timestamp_column else None
        good = ~block.malformed
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
    parts = _Parts(layout)
    report = MalformedLines()
    source_files = []
    for file in rows:
        problems: list[Problem] = []
        row, malformed = 0, 0
        for block_columns, size in file.blocks:
            block = Block(block_columns, size, layout.timestamp_unit or options.timestamp_unit)
            parts.add(block)
            if block.problems and len(problems) < 100:
                lines = file.lines.of(row + np.array([problem[0] for problem in block.problems]))
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
    log = _event_log(parts, layout, source_files, report.malformed)
    if log.timestamp is not None:
        _check_unit(log.timestamp, log.timestamp_unit)
    return drop_duplicates(log, options.duplicates)


def _check_unit(timestamps: NDArray[Any], unit: str | None) -> None:
    median = int(np.quantile(timestamps, 0.5, method="lower"))
    if not _CALENDAR[0] <= median // (1000 if unit == "ms" else 1) <= _CALENDAR[1]:
        raise ValueError(
            f"--timestamp_unit={unit}: the median timestamp {median} is outside the years 1 to "
            "9999; is it in another unit?"
        )


def _event_log(
    parts: _Parts, layout: Layout, source_files: list[SourceFile], malformed: int
) -> EventLog:
    ids = [columns.to_categorical(parts.cells.pop(name)) for name in ("user_id", "item_id")]
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
