"""Blocks of columns from delimited text files, packed or not."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
from absl import logging

from input_pipeline.sources import headers
from input_pipeline.sources.dialect import Dialect, Table, begin_table
from input_pipeline.sources.layout import RawRows
from input_pipeline.sources.malformed import LineNumbers, Problem
from input_pipeline.sources.quoted_cells import QuotedCells
from input_pipeline.sources.raw_files import RawFile, open_raw, progress

_BLOCK_BYTES = 1 << 24
_REFUSED_ROW = re.compile(r"CSV parse error: Row #(\d+): Expected (\d+) columns, got (\d+)")
_NO_QUOTES = "with --noquoted_cells double quotes stand for themselves"


def read_files(paths: Sequence[str], dialect: Dialect, columns: Sequence[str]) -> Iterator[RawRows]:
    """Yields each file; reads `columns` alone, as bytes.

    A column that a file does not have may be in the names of its folders, as `day=2026-01-01`.

    Raises:
      ValueError: a file is empty or no text, or its header lacks a column or has it twice.
    """
    delimiters: set[str] = set()
    reaching: list[tuple[str, int, int, int]] = []
    for path in paths:
        with open_raw(path, dialect.encoding) as raw:
            raw.check_text()
            if len(paths) > 1 and raw.is_empty():
                logging.warning("%s: the file is empty", path)
                yield RawRows(path, iter(()), LineNumbers(1), [], raw.source_file)
                continue
            table = begin_table(raw, dialect, columns)
            if dialect.delimiter is None and table.delimiter not in {",", *delimiters}:
                name = headers.delimiter_name(table.delimiter)
                print(f"{path}: seen --delimiter={name} in its first line", flush=True)
                delimiters.add(table.delimiter)
            lines = LineNumbers(table.first_line)
            yield _rows(raw, table, dialect.quoted, lines)
            rows, more_lines = lines.reaching()
            if len(rows):
                first = int(lines.lines(rows[:1])[0])
                reaching.append((path, first, len(rows), more_lines))
    if reaching:
        path, first, _, _ = reaching[0]
        logging.warning(
            "%s:%d: a quoted cell reaches over line ends, as in %d rows of %d files, which hold %d "
            "lines more; each such row counts as one line; %s",
            path,
            first,
            sum(rows for _, _, rows, _ in reaching),
            len(reaching),
            sum(more_lines for _, _, _, more_lines in reaching),
            _NO_QUOTES,
        )


class _Watched:
    """The rows of a file as pyarrow reads them, while it is noted which lines they are on."""

    closed = False

    def __init__(self, raw: RawFile, cells: QuotedCells, lines: LineNumbers) -> None:
        self._raw = raw
        self._cells = cells
        self._lines = lines

    def read(self, size: int) -> bytes:
        data = self._raw.read(size)
        self._cells.add(data)
        if not data and self._cells.ends_in_a_cell():
            self._refuse("has no end")
        if self._cells.row_bytes > _BLOCK_BYTES and self._cells.ends_in_a_cell():
            self._refuse(f"has no end within {_BLOCK_BYTES >> 20} MiB")
        return data

    def _refuse(self, fault: str) -> None:
        line = self._lines.lines(np.array([self._cells.row]))[0]
        raise ValueError(
            f"{self._raw.path}:{line}: a quoted cell of the row that begins here {fault}; "
            f"{_NO_QUOTES}"
        )


def _rows(raw: RawFile, table: Table, quoted: bool, lines: LineNumbers) -> RawRows:
    problems: list[Problem] = []
    places = sorted({place for place in table.found.values() if isinstance(place, int)})
    cells = QuotedCells(table.delimiter.encode(), table.num_columns, lines) if quoted else None

    def add_problem(row: int, text: str, requirement: str) -> None:
        if len(problems) < 5:
            line = int(lines.lines(np.array([row]))[0])
            problems.append(Problem(raw.path, line, "the line", text, requirement))

    def skip(row: pyarrow.csv.InvalidRow) -> str:
        add_problem(row.number - 1, row.text, f"{row.expected_columns} columns")
        lines.skipped.append(row.number - 1)
        return "skip"

    def without_joined(batch: pa.RecordBatch, begin: int) -> pa.RecordBatch:
        """Drops the rows that stray quotes have joined, `begin` rows having been kept before."""
        if not cells or not cells.joined:
            return batch
        rows = lines.rows(np.arange(begin, begin + len(batch)))
        joined = np.isin(rows, list(cells.joined))
        for row in rows[joined].tolist():
            text = cells.joined.pop(row).decode("utf-8", "replace")
            requirement = f"one row, as its lines look like rows that a quote joins ({_NO_QUOTES})"
            add_problem(row, text, requirement)
            lines.skipped.append(row)
        return batch.filter(pa.array(~joined))

    def blocks() -> Iterator[tuple[dict[str, pa.Array], int]]:
        try:
            with _errors_told_once(skip):
                reader = pyarrow.csv.open_csv(
                    pa.PythonFile(_Watched(raw, cells, lines) if cells else raw, mode="r"),
                    # One thread: only then does a refused row know its number.
                    read_options=pyarrow.csv.ReadOptions(
                        use_threads=False,
                        block_size=_BLOCK_BYTES,
                        column_names=[str(place) for place in range(table.num_columns)],
                    ),
                    parse_options=pyarrow.csv.ParseOptions(
                        delimiter=table.delimiter,
                        quote_char='"' if quoted else False,
                        newlines_in_values=quoted,
                        ignore_empty_lines=False,
                        invalid_row_handler=skip,
                    ),
                    convert_options=pyarrow.csv.ConvertOptions(
                        column_types={str(place): pa.binary() for place in places},
                        include_columns=[str(place) for place in places],
                        strings_can_be_null=False,
                    ),
                )
            kept = 0
            with progress(raw.path) as bar:
                while True:
                    with _errors_told_once(skip):
                        batch = next(reader, None)
                    if batch is None:
                        break
                    bar.update(raw.bytes_read - bar.n)
                    batch = without_joined(batch, kept)
                    kept += len(batch)
                    yield _named(batch, table, places), len(batch)
        except pa.ArrowInvalid as error:
            if str(error) == "Empty CSV file":  # A header alone.
                return
            raise ValueError(_explained(raw.path, lines, str(error))) from error

    return RawRows(raw.path, blocks(), lines, problems, raw.source_file)


@contextlib.contextmanager
def _errors_told_once(handler: Callable[..., str]) -> Iterator[None]:
    """Keeps quiet what pyarrow raises before it calls a handler of rows, as it raises again."""
    told = sys.unraisablehook

    def tell(unraisable: Any) -> None:
        if unraisable.object is not handler:
            told(unraisable)

    sys.unraisablehook = tell
    try:
        yield
    finally:
        sys.unraisablehook = told


def _explained(path: str, lines: LineNumbers, message: str) -> str:
    """What pyarrow's refusal of a file means."""
    refused = _REFUSED_ROW.match(message)
    if refused:
        row, expected, got = map(int, refused.groups())
        line = int(lines.lines(np.array([row - 1]))[0])
        return (
            f"{path}:{line}: the line must be {expected} columns, got {got}, and is not in UTF-8, "
            "so that it cannot be counted as malformed; --encoding=latin-1, say, names the file's"
        )
    if "straddling" in message:
        return f"{path}: a line is longer than {_BLOCK_BYTES >> 20} MiB"
    return f"{path}: {message}"


def _named(batch: pa.RecordBatch, table: Table, places: list[int]) -> dict[str, pa.Array]:
    """The columns by the names that are wanted."""
    columns = {}
    for name, found in table.found.items():
        if isinstance(found, int):
            columns[name] = batch.column(places.index(found))
        else:
            columns[name] = pa.repeat(pa.scalar(found, pa.binary()), len(batch))
    return columns
