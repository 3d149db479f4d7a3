"""Consecutive rows of a file: what their cells mean, and which rows are malformed or left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from input_pipeline.log.calendar import CALENDAR, LOGGED, UNITS, outside
from input_pipeline.sources import columns
from input_pipeline.sources.remarks import (
    NULL_CELLS,
    SHORTENED_TIMES,
    TIMES_OFF_CALENDAR,
    TIMES_OFF_LOGGED,
    TIMES_UNREADABLE,
)
from input_pipeline.sources.times import parse_times

_FLOAT_RANGE = "a finite number within float32, or empty where there is none"
Meaning = Callable[[pa.Array], tuple[NDArray[Any], NDArray[Any]]]


class Block:
    """Rows that are being read.

    Args:
      block_columns: pa.Array of binary by column name, [N] each, without nulls.
      size: N.
      timestamp_unit: of times that are numbers.
      null_markers: cells that say that there is no value, beside the empty one.

    Attributes:
      columns: the cells as they are in the file.
      malformed: bool [N], the rows with a cell that is not as required.
      problems: (row, column, value, requirement) of the first malformed rows.
      left_out: bool [N], the rows that are read but are no part of the log.
      remarks: bool [N] by what is to be said and of which column: the rows that it is said of.
    """

    def __init__(
        self,
        block_columns: dict[str, pa.Array],
        size: int,
        timestamp_unit: str = "s",
        null_markers: tuple[str, ...] = (),
    ) -> None:
        self.columns = block_columns
        self.timestamp_unit = timestamp_unit
        self.malformed = np.zeros(size, bool)
        self.problems: list[tuple[int, str, str, str]] = []
        self.left_out = np.zeros(size, bool)
        self.remarks: dict[tuple[str, str], NDArray[Any]] = {}
        self._null_markers = [marker.encode() for marker in null_markers if marker]
        self._cells: dict[str, pa.Array] = {}

    def __len__(self) -> int:
        return len(self.malformed)

    def value(self, column: str, row: int) -> str:
        """A cell as it is in the file, for messages."""
        return self.columns[column][row].as_py().decode("utf-8", "replace")

    def refuse(self, column: str, mask: NDArray[Any], requirement: str) -> None:
        """Marks rows of `mask` whose value in `column` is not as required, unless left out."""
        mask = mask & ~self.left_out
        for row in np.flatnonzero(mask & ~self.malformed)[:5]:
            self.problems.append((int(row), column, self.value(column, int(row)), requirement))
        self.malformed |= mask

    def remark(self, kind: str, column: str, mask: NDArray[Any]) -> None:
        """Has something said of the rows of `mask`."""
        if mask.any():
            self.remarks[kind, column] = mask

    def leave_out(self, kind: str, column: str, mask: NDArray[Any]) -> None:
        """Leaves rows out of the log, and has it said of those that were not left out before."""
        self.remark(kind, column, mask & ~self.left_out)
        self.left_out |= mask

    def cells(self, column: str) -> pa.Array:
        """Binary [N]; b"" where there is no value."""
        if column not in self._cells:
            cells = self.columns[column]
            if self._null_markers:
                is_null = pc.is_in(cells, value_set=pa.array(self._null_markers, cells.type))
                if pc.any(is_null).as_py():
                    self.remark(NULL_CELLS, column, is_null.to_numpy(zero_copy_only=False))
                    cells = pc.if_else(is_null, pa.scalar(b"", cells.type), cells)
            self._cells[column] = cells
        return self._cells[column]

    def numbers(self, column: str) -> NDArray[Any]:
        """float32 [N]; NaN where there is none."""
        numbers, malformed = columns.parse_numbers(self.cells(column))
        self.refuse(column, malformed, _FLOAT_RANGE)
        return numbers

    def timestamps(self, column: str) -> NDArray[Any]:
        """int64 [N] in `timestamp_unit`, of a column that must tell the time of every row."""
        times = parse_times(self.cells(column), self.timestamp_unit)
        self.refuse(column, times.malformed | times.missing, self._time())
        self.remark(SHORTENED_TIMES, column, times.shortened)
        for kind, seconds in ((TIMES_OFF_LOGGED, LOGGED), (TIMES_OFF_CALENDAR, CALENDAR)):
            self.remark(kind, column, outside(times.values, self.timestamp_unit, seconds))
        return times.values

    def times(self, column: str) -> tuple[NDArray[Any], NDArray[Any]]:
        """int64 [N], seconds since 1970 in UTC, and bool [N], whether there is none."""
        times = parse_times(self.cells(column), self.timestamp_unit)
        self.refuse(column, times.malformed, f"{self._time()}, or empty")
        unreadable = ~times.missing & outside(times.values, self.timestamp_unit, CALENDAR)
        self.remark(TIMES_UNREADABLE, column, unreadable)
        return times.values // UNITS[self.timestamp_unit], times.missing | unreadable

    def _time(self) -> str:
        return f"a time, as a number in {self.timestamp_unit} or as ISO 8601"

    def choices(self, column: str, choices: tuple[bytes, ...], requirement: str) -> NDArray[Any]:
        """int64 [N]: places in `choices`; -1 in malformed rows."""
        places, malformed = columns.parse_choices(self.cells(column), choices)
        self.refuse(column, malformed, requirement)
        return places

    def told(
        self, column: str, means: Meaning, requirement: str
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """What each cell means, [N], and bool [N], whether it is empty; arbitrary where it is.

        Args:
          column: of few different values.
          means: from values [V], without blanks around them, to what they mean, [V], and whether
        they are malformed.
          requirement: of a value that is not malformed.
        """
        encoded = pc.dictionary_encode(self.cells(column))
        codes = encoded.indices.to_numpy()
        if not len(encoded.dictionary):
            return np.zeros(0, bool), np.zeros(0, bool)
        values = columns.trimmed(encoded.dictionary)
        empty = columns.empty_cells(values)
        meanings, malformed = means(values)
        self.refuse(column, (malformed & ~empty)[codes], requirement)
        return meanings[codes], empty[codes]

    def identifiers(self, column: str) -> pa.DictionaryArray:
        """Values of a column that must not be empty, encoded."""
        empty = columns.empty_cells(self.cells(column))
        as_written = columns.empty_cells(self.columns[column])
        self.refuse(column, as_written, "a non-empty id")
        self.refuse(column, empty, "an id, and none of --null_markers")
        return pc.dictionary_encode(self.cells(column))
