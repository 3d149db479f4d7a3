"""Blocks of columns from delimited text files, packed or not."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.csv
from absl import logging

from input_pipeline.sources import headers
from input_pipeline.sources.input_files import partition_values
from input_pipeline.sources.layout import RawRows
from input_pipeline.sources.malformed import LineNumbers, Problem
from input_pipeline.sources.quoted_cells import QuotedCells
from input_pipeline.sources.raw_files import RawFile, open_raw, progress

_BLOCK_BYTES = 1 << 24
_LINE_END = re.compile(rb"\r\n?|\n")
_MOST_HEADER_LINES = 100
_NO_QUOTES = "with --noquoted_cells double quotes stand for themselves"


@dataclasses.dataclass(frozen=True)
class Dialect:
    """How lines become cells.

    Attributes:
      names: the columns of a file without a header; None: the first line names them.
      delimiter: one character; None: the one of headers.DELIMITERS that the first line of each file
        shows, which is told on the terminal where it is not a comma.
      quoted: whether cells may be in double quotes, and then hold delimiters and line ends.
    """

    names: tuple[str, ...] | None = None
    delimiter: str | None = ","
    quoted: bool = False


@dataclasses.dataclass(frozen=True)
class _Table:
    """One file, whose header was read.

    Attributes:
      delimiter: one character.
      num_columns: of the file.
      found: by column that is wanted, its place or the cell of all rows.
      first_line: the number of the line that the first row is on.
    """

    delimiter: str
    num_columns: int
    found: dict[str, int | bytes]
    first_line: int


def read_files(paths: Sequence[str], dialect: Dialect, columns: Sequence[str]) -> Iterator[RawRows]:
    """Yields each file; reads `columns` alone, as bytes.

    A column that a file does not have may be in the names of its folders, as `day=2026-01-01`.

    Raises:
      ValueError: a file is empty or no text, or its header lacks a column or has it twice.
    """
    delimiters: set[str] = set()
    reaching: list[tuple[str, int, int, int]] = []
    for path in paths:
        with open_raw(path) as raw:
            raw.check_text()
            table = _begin(raw, dialect, columns)
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


def _begin(raw: RawFile, dialect: Dialect, columns: Sequence[str]) -> _Table:
    """Reads the header, if there is one."""
    line = raw.readline()
    if not line.strip():
        raise ValueError(f"{raw.path}: the file is empty")
    if dialect.names is not None:
        raw.unread(line)
    elif dialect.quoted:
        line = _header_in_quotes(raw, line)
    text = line.decode("utf-8", errors="replace").rstrip("\r\n")
    try:
        delimiter = dialect.delimiter or headers.see_delimiter(
            text, columns, dialect.names or (), dialect.quoted
        )
        names = dialect.names or headers.cells_of(text, delimiter, dialect.quoted)
    except ValueError as error:
        raise ValueError(f"{raw.path}: {error}") from None
    note = f", cut at each {headers.delimiter_name(delimiter)}"
    if dialect.names is not None:
        note = " that --columns gives" if dialect.delimiter is None else ""
    found = headers.find_columns(raw.path, names, columns, partition_values(raw.path), note)
    header_lines = 0 if dialect.names is not None else len(_LINE_END.findall(line))
    return _Table(delimiter, len(names), found, 1 + header_lines)


def _header_in_quotes(raw: RawFile, line: bytes) -> bytes:
    """A header's first line with those that its quoted cells reach over."""
    lines = [line]
    while sum(part.count(b'"') for part in lines) % 2 and len(lines) < _MOST_HEADER_LINES:
        more = raw.readline()
        if not more:
            break
        lines.append(more)
    header = b"".join(lines)
    if header.count(b'"') % 2 == 0:
        return header
    raw.unread(header[len(line) :])  # A quote that stands for itself.
    return line


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


def _rows(raw: RawFile, table: _Table, quoted: bool, lines: LineNumbers) -> RawRows:
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
                for batch in reader:
                    bar.update(raw.bytes_read - bar.n)
                    batch = without_joined(batch, kept)
                    kept += len(batch)
                    yield _named(batch, table, places), len(batch)
        except pa.ArrowInvalid as error:
            if str(error) == "Empty CSV file":  # A header alone.
                return
            if "straddling" in str(error):
                size = f"{_BLOCK_BYTES >> 20} MiB"
                raise ValueError(f"{raw.path}: a line is longer than {size}") from error
            raise ValueError(f"{raw.path}: {error}") from error

    return RawRows(raw.path, blocks(), lines, problems, raw.source_file)


def _named(batch: pa.RecordBatch, table: _Table, places: list[int]) -> dict[str, pa.Array]:
    """The columns by the names that are wanted."""
    columns = {}
    for name, found in table.found.items():
        if isinstance(found, int):
            columns[name] = batch.column(places.index(found))
        else:
            columns[name] = pa.repeat(pa.scalar(found, pa.binary()), len(batch))
    return columns
