"""What was read otherwise than it is written, or left out of the log: counted, and said once."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from absl import logging
from numpy.typing import NDArray

if TYPE_CHECKING:
    from input_pipeline.sources.block import Block

# Of cells and of lines that stay, by the names of their counts.
NULL_CELLS = "null_cells"
SHORTENED_TIMES = "shortened_times"
TIMES_OFF_LOGGED = "times_outside_1970_to_2099"
TIMES_OFF_CALENDAR = "times_outside_the_calendar"
TIMES_UNREADABLE = "feature_times_outside_the_calendar"
# Of lines that are left out.
UNKNOWN_EVENTS = "lines_of_unknown_events"
TOO_EARLY = "lines_before_time_from"
TOO_LATE = "lines_from_time_to_on"
LINES_OF_INACTIVE_USERS = "lines_of_inactive_users"
LEFT_OUT = (UNKNOWN_EVENTS, TOO_EARLY, TOO_LATE)
# What a data set counts, and how the report says it after the number.
COUNTED = {
    NULL_CELLS: "cells are read as missing (--null_markers)",
    UNKNOWN_EVENTS: "lines of types of event that are no task were left out",
    TOO_EARLY: "lines before --time_from were left out",
    TOO_LATE: "lines at --time_to and after it were left out",
    LINES_OF_INACTIVE_USERS: "lines of users with fewer than --min_user_events were left out",
    SHORTENED_TIMES: "timestamps were rounded down to the unit",
    TIMES_OFF_CALENDAR: "timestamps are outside the calendar, and not among the events per day",
    TIMES_UNREADABLE: "times of features are outside the calendar, and read as missing",
}
_BY_VALUE = (NULL_CELLS, UNKNOWN_EVENTS)
_EXAMPLES = 3
_SHOWN_VALUES = 12
_VALUE_CHARACTERS = 40


@dataclasses.dataclass
class Remark:
    """One thing that is to be said of a column.

    Attributes:
      count: of how many lines.
      examples: file, line and value of the first ones.
      values: of some remarks, how many lines have each value.
    """

    count: int = 0
    examples: list[str] = dataclasses.field(default_factory=list)
    values: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)

    def __str__(self) -> str:
        return ", ".join(self.examples) + (", ..." if self.count > len(self.examples) else "")

    @property
    def by_value(self) -> str:
        """The values and how many lines have them, the most frequent first."""
        named = sorted(self.values.items(), key=lambda item: (-item[1], item[0]))
        shown = [f"{_shown(value)} {count:,}" for value, count in named[:_SHOWN_VALUES]]
        return ", ".join(shown) + (", ..." if len(named) > _SHOWN_VALUES else "")


def _shown(value: str) -> str:
    return repr(value if len(value) <= _VALUE_CHARACTERS else value[:_VALUE_CHARACTERS] + "...")


class Remarks:
    """Gathers what the blocks of all files remark."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], Remark] = {}

    def of(self, kind: str) -> Mapping[str, Remark]:
        """By column, what was remarked."""
        return {column: remark for (k, column), remark in self._found.items() if k == kind}

    def count(self, kind: str) -> int:
        """How many lines of all columns."""
        return sum(remark.count for remark in self.of(kind).values())

    def add(self, block: Block, path: str, lines: Callable[[NDArray[Any]], NDArray[Any]]) -> None:
        """Takes in the remarks of a block that was read.

        Args:
          block: malformed rows do not count, rows that are left out only for that.
          path: of the file.
          lines: from rows of the block to line numbers.
        """
        for (kind, column), mask in block.remarks.items():
            counted = mask & ~block.malformed
            if kind not in LEFT_OUT:
                counted &= ~block.left_out
            rows = np.flatnonzero(counted)
            if not len(rows):
                continue
            remark = self._found.setdefault((kind, column), Remark())
            remark.count += len(rows)
            first = rows[: _EXAMPLES - len(remark.examples)]
            if len(first):
                for line, row in zip(lines(first), first, strict=True):
                    value = _shown(block.value(column, int(row)))
                    remark.examples.append(f"{path}:{line}: {column}={value}")
            if kind in _BY_VALUE:
                cells = block.columns[column].filter(pa.array(counted))
                for entry in cells.value_counts().to_pylist():
                    value = entry["values"].decode("utf-8", "replace")
                    remark.values[value] += entry["counts"]

    def tell(self, unit: str, time_remark: str | None) -> dict[str, int]:
        """Says everything on the terminal, a line each, and returns the counts.

        Args:
          unit: of times.
          time_remark: the kind of timestamps that are out of the ordinary; None: there are none.
        """
        for column, remark in self.of(NULL_CELLS).items():
            logging.warning(
                "column %r: %d cells are read as missing (--null_markers): %s",
                column,
                remark.count,
                remark.by_value,
            )
        for column, remark in self.of(UNKNOWN_EVENTS).items():
            logging.warning(
                "%d lines are left out, whose %s is none of --task_columns "
                "(--unknown_events=refuse counts them as malformed): %s",
                remark.count,
                column,
                remark.by_value,
            )
        for kind, bound in ((TOO_EARLY, "before --time_from"), (TOO_LATE, "not before --time_to")):
            for remark in self.of(kind).values():
                logging.warning("%d lines are left out, being %s", remark.count, bound)
        for remark in self.of(SHORTENED_TIMES).values():
            logging.warning(
                "%d timestamps are rounded down to whole %s, as %s", remark.count, unit, remark
            )
        for remark in self.of(time_remark).values() if time_remark else ():
            years = "1970 to 2099" if time_remark == TIMES_OFF_LOGGED else "1 to 9999"
            logging.warning(
                "%d timestamps are outside the calendar, which is the years %s, as %s; they stay "
                "in the log, in which they come first or last, and the report's days leave them "
                "out; --time_from and --time_to cut them off",
                remark.count,
                years,
                remark,
            )
        for column, remark in self.of(TIMES_UNREADABLE).items():
            logging.warning(
                "column %r: %d times are outside the calendar and are read as missing, as %s",
                column,
                remark.count,
                remark,
            )
        counts = {kind: self.count(kind) for kind in COUNTED}
        return counts | {TIMES_OFF_CALENDAR: self.count(time_remark) if time_remark else 0}
