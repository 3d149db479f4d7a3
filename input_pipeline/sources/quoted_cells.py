"""Rows of delimited text that reach over line ends in quoted cells, found as the text goes by.

A cell is quoted if it begins with a double quote, and ends at the next one that is not doubled; a
double quote elsewhere stands for itself. So it is read by pyarrow and by the csv module too, but
neither tells which lines a row is on.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from input_pipeline.sources.malformed import LineNumbers

_QUOTE, _LINE_FEED, _RETURN = b'"'[0], b"\n"[0], b"\r"[0]
_LINE_END = re.compile(rb"\r\n?|\n")
_NUMBER = re.compile(rb'[\s"]*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?[\s"]*')
_FEW = 64  # quotes that are looked at together after some that stand for themselves
_SHOWN_BYTES = 200


class QuotedCells:
    """Finds the rows over several lines, chunk by chunk, holding no more than a row of the text.

    Args:
      delimiter: between cells, one byte.
      num_columns: of the table.
      lines: is told the rows that are found.

    Attributes:
      joined: the beginnings, by row, of those that are several rows which stray quotes joined: the
        first, the last and at least half of their lines have as many cells as a row of the table,
        and these have numbers where this row has numbers.
    """

    def __init__(self, delimiter: bytes, num_columns: int, lines: LineNumbers) -> None:
        self._delimiter = delimiter[0]
        self._num_columns = num_columns
        self._lines = lines
        self._row = 0  # The one that begins with what is pending.
        self._pending = b""
        self._held = b""  # A \r whose \n may come.
        self.joined: dict[int, bytes] = {}

    @property
    def row(self) -> int:
        """The row that has no end yet, counted from 0."""
        return self._row

    @property
    def row_bytes(self) -> int:
        """How much there is of it."""
        return len(self._pending) + len(self._held)

    def add(self, data: bytes) -> None:
        """Takes in the next bytes of the text."""
        if self._held:
            data = self._held + data
        self._held = b"\r" if data.endswith(b"\r") else b""
        if self._held:
            data = data[:-1]
        if b'"' in data or b'"' in self._pending:
            self._add_quoted(self._pending + data)
        else:
            self._add_plain(data)

    def ends_in_a_cell(self) -> bool:
        """Whether what was added ends within a quoted cell."""
        bounds = _bounds(np.frombuffer(self._pending, np.uint8), self._delimiter)
        return len(bounds) % 2 == 1

    def _add_plain(self, data: bytes) -> None:
        ends = data.count(b"\n")
        if b"\r" in data:
            ends += data.count(b"\r") - data.count(b"\r\n")
        if ends:
            self._row += ends
            self._pending = data[max(data.rfind(b"\n"), data.rfind(b"\r")) + 1 :]
        else:
            self._pending += data

    def _add_quoted(self, data: bytes) -> None:
        text = np.frombuffer(data, np.uint8)
        bounds = _bounds(text, self._delimiter)
        ends = _line_ends(data, text)
        within = np.searchsorted(bounds, ends) % 2 == 1
        row_ends = ends[~within]
        if len(row_ends):
            inner = ends[within & (ends < row_ends[-1])]
            if len(inner):
                self._add_reaching(data, text, bounds, row_ends, inner)
            self._row += len(row_ends)
            data = data[row_ends[-1] + 1 :]
        self._pending = data

    def _add_reaching(
        self,
        data: bytes,
        text: NDArray[Any],
        bounds: NDArray[Any],
        row_ends: NDArray[Any],
        inner: NDArray[Any],
    ) -> None:
        """Adds the rows of a text that reach over the line ends `inner`, places in the text."""
        # int64 [R]: which rows, and how many of the line ends each has.
        rows, counts = np.unique(np.searchsorted(row_ends, inner), return_counts=True)
        self._lines.reach(rows + self._row, counts)
        begins = np.where(rows > 0, row_ends[rows - 1] + 1, 0)
        ends = row_ends[rows]
        # int64 [L]: where the lines of those rows begin and end.
        line_begins = np.sort(np.concatenate([begins, inner + 1]))
        line_ends = np.sort(np.concatenate([inner, ends]))
        delimiters = np.flatnonzero(text == self._delimiter)
        cells = 1 + np.searchsorted(delimiters, line_ends)
        cells -= np.searchsorted(delimiters, line_begins)
        firsts = np.cumsum(counts + 1) - (counts + 1)
        alike = cells == self._num_columns
        most = 2 * np.add.reduceat(alike.astype(np.int64), firsts) > counts
        for place in np.flatnonzero(most & alike[firsts] & alike[firsts + counts]):
            begin, end = int(begins[place]), int(ends[place])
            cuts = delimiters[slice(*np.searchsorted(delimiters, (begin, end)))]
            cuts = cuts[np.searchsorted(bounds, cuts) % 2 == 0]
            row = [data[a + 1 : b] for a, b in pairwise([begin - 1, *cuts.tolist(), end])]
            lines = _LINE_END.split(data[begin:end])
            if _are_rows([line.split(bytes([self._delimiter])) for line in lines], row):
                self.joined[self._row + int(rows[place])] = data[begin:end][:_SHOWN_BYTES]


def _are_rows(lines: list[list[bytes]], row: list[bytes]) -> bool:
    """Whether lines with as many cells as a row have numbers just where the row has numbers.

    Cells of the row that reach over a line end tell nothing.
    """
    numbers = {
        place: bool(_NUMBER.fullmatch(cell))
        for place, cell in enumerate(row)
        if cell.strip() and not _LINE_END.search(cell.rstrip(b"\r"))
    }
    return all(
        not line[place].strip() or bool(_NUMBER.fullmatch(line[place])) == is_number
        for line in lines
        if len(line) == len(row)
        for place, is_number in numbers.items()
    )


def _line_ends(data: bytes, text: NDArray[Any]) -> NDArray[Any]:
    """int64: the places of every \\n and of every \\r that no \\n follows."""
    ends = text == _LINE_FEED
    if b"\r" in data:
        returns = text == _RETURN
        returns[:-1] &= text[1:] != _LINE_FEED
        ends |= returns
    return np.flatnonzero(ends)


def _bounds(text: NDArray[Any], delimiter: int) -> NDArray[Any]:
    """int64: the quotes in a text that begin and end quoted stretches, in turn.

    Of two quotes that stand for one in a quoted cell, the first ends a stretch and the second
    begins the next. The text begins with a row.
    """
    quotes = np.flatnonzero(text == _QUOTE)
    if not len(quotes):
        return quotes
    before = text[quotes - 1]
    begins = (before == delimiter) | (before == _LINE_FEED) | (before == _RETURN)
    begins[0] |= quotes[0] == 0
    opens = begins | (np.diff(quotes, prepend=-2) == 1)
    starts = np.append(np.flatnonzero(begins), len(quotes))
    stands = np.zeros(len(quotes), bool)
    at, size = 0, len(quotes)
    while at < len(quotes):
        wrong = np.flatnonzero(~opens[at : at + size : 2])
        if not len(wrong):
            at, size = at + size, 2 * size
            continue
        # Outside of quoted cells: up to the next that begins one, they stand for themselves.
        at += 2 * int(wrong[0])
        start = int(starts[np.searchsorted(starts, at)])
        stands[at:start] = True
        at, size = start, _FEW
    return quotes[~stands]
