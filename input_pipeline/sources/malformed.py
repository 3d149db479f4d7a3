"""Which lines are malformed, what is wrong with them, and when they are too many."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from absl import logging
from numpy.typing import NDArray

_SHOWN = 5
_VALUE_CHARACTERS = 80


@dataclasses.dataclass(frozen=True)
class Problem:
    """The first thing that is wrong with a line."""

    path: str
    line: int
    column: str
    value: str
    requirement: str

    def __str__(self) -> str:
        value = self.value
        if len(value) > _VALUE_CHARACTERS:
            value = value[:_VALUE_CHARACTERS] + "..."
        return f"{self.path}:{self.line}: {self.column} must be {self.requirement}, got {value!r}"


@dataclasses.dataclass
class MalformedLines:
    """Counts malformed lines and keeps the first ones of each file for the report.

    Attributes:
      lines: lines seen, good and bad.
      malformed: how many of them are bad.
      problems: of the first bad lines.
    """

    lines: int = 0
    malformed: int = 0
    problems: list[Problem] = dataclasses.field(default_factory=list)

    def add(self, problems: list[Problem], malformed: int, lines: int) -> None:
        """Adds a file: the problems found in it, and its numbers of malformed and of all lines."""
        room = max(_SHOWN - len(self.problems), 0)
        self.problems += sorted(problems, key=lambda problem: problem.line)[:room]
        self.malformed += malformed
        self.lines += lines

    def check(self, max_malformed: float) -> None:
        """Reports the malformed lines.

        Raises:
          ValueError: they are more than the share `max_malformed`, or no line is left.
        """
        if self.malformed == 0 and self.lines:
            return
        if not self.lines:
            raise ValueError("--input: the files hold a header at most, and no lines")
        shown = "\n".join(f"  {problem}" for problem in self.problems)
        summary = (
            f"{self.malformed} of {self.lines} lines are malformed "
            f"({self.malformed / self.lines:.3%}); the first of them:\n{shown}"
        )
        if self.malformed > max_malformed * self.lines or self.malformed == self.lines:
            raise ValueError(f"--max_malformed={max_malformed:g} exceeded: {summary}")
        logging.warning("%s", summary)


class LineNumbers:
    """Line numbers of the rows of one file, some of which were refused or are on several lines.

    Rows are counted from 0 in the file, refused ones too.

    Args:
      first_line: the number of the line that the file's first row is on.

    Attributes:
      skipped: the rows that were refused as they were read.
    """

    def __init__(self, first_line: int) -> None:
        self._first_line = first_line
        self.skipped: list[int] = []
        # int64 arrays of the rows on several lines, ascending, and of the line ends within each.
        self._reaching: list[NDArray[Any]] = [np.zeros(0, np.int64)]
        self._line_ends: list[NDArray[Any]] = [np.zeros(0, np.int64)]

    def reach(self, rows: NDArray[Any], line_ends: NDArray[Any]) -> None:
        """Adds rows on several lines, which come after those added before."""
        self._reaching.append(rows)
        self._line_ends.append(line_ends)

    def rows(self, kept: NDArray[Any]) -> NDArray[Any]:
        """Rows by their index, counted from 0, among those that were not skipped."""
        skipped = np.sort(np.asarray(self.skipped, np.int64))
        # The i-th skipped row has skipped[i] - i kept ones before it.
        kept_before = skipped - np.arange(len(skipped))
        return kept + np.searchsorted(kept_before, kept, side="right")

    def lines(self, rows: NDArray[Any]) -> NDArray[Any]:
        """The lines on which rows begin."""
        reaching, line_ends = self._joined()
        lines_before = np.concatenate([[0], np.cumsum(line_ends)])
        return self._first_line + rows + lines_before[np.searchsorted(reaching, rows)]

    def of(self, kept: NDArray[Any]) -> NDArray[Any]:
        """The lines on which rows begin that were not skipped, given as to `rows`."""
        return self.lines(self.rows(kept))

    @property
    def malformed(self) -> int:
        """How many lines the skipped rows are on."""
        reaching, line_ends = self._joined()
        return len(self.skipped) + int(line_ends[np.isin(reaching, self.skipped)].sum())

    @property
    def beyond_rows(self) -> int:
        """How many lines there are besides one for each row that was not skipped."""
        return len(self.skipped) + int(self._joined()[1].sum())

    def reaching(self) -> tuple[NDArray[Any], int]:
        """The rows on several lines that were not skipped, and the lines beyond their first."""
        reaching, line_ends = self._joined()
        kept = ~np.isin(reaching, self.skipped)
        return reaching[kept], int(line_ends[kept].sum())

    def _joined(self) -> tuple[NDArray[Any], NDArray[Any]]:
        self._reaching = [np.concatenate(self._reaching)]
        self._line_ends = [np.concatenate(self._line_ends)]
        return self._reaching[0], self._line_ends[0]
