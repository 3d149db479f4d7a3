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
    """Line numbers of the rows of one file, some lines of which gave no row.

    Args:
      first_line: the number of the line that the file's first row is on.

    Attributes:
      skipped: the lines that gave no row.
      swallowed: how many more lines the quoted cells of those lines reached over.
    """

    def __init__(self, first_line: int) -> None:
        self._first_line = first_line
        self.skipped: list[int] = []
        self.swallowed = 0

    def of(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Line numbers of rows, given by their 0-based index among the rows of the file."""
        skipped = np.sort(np.asarray(self.skipped, np.int64))
        # The i-th skipped line has skipped[i] - first_line - i rows before it.
        rows_before = skipped - self._first_line - np.arange(len(skipped))
        return rows + self._first_line + np.searchsorted(rows_before, rows, side="right")
