"""Blocks of columns from delimited text files, plain or gzip."""

from __future__ import annotations

import csv
import dataclasses
import re
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.csv

from input_pipeline.sources.layout import RawRows
from input_pipeline.sources.malformed import LineNumbers, Problem
from input_pipeline.sources.raw_files import RawFile, first_line, open_raw, progress

_BLOCK_BYTES = 1 << 24
_HEADER_ALONE = re.compile("Empty CSV file|Could not skip initial")


@dataclasses.dataclass(frozen=True)
class Dialect:
    """How lines become cells.

    Attributes:
      names: the columns of a file without a header; None: the first line names them.
      delimiter: one character.
      quoted: whether cells may be in double quotes, and then hold delimiters and line ends.
    """

    names: tuple[str, ...] | None = None
    delimiter: str = ","
    quoted: bool = False


def read_files(paths: Sequence[str], dialect: Dialect, columns: Sequence[str]) -> Iterator[RawRows]:
    """Yields each file; reads `columns` alone, as bytes.

    Raises:
      ValueError: a file is empty, or its header lacks a column or has it twice.
    """
    for path in paths:
        with open_raw(path) as raw:
            names = _column_names(path, dialect, columns)
            yield _rows(path, raw, names, dialect, columns)


def check_header(path: str, header: Sequence[str], columns: Sequence[str]) -> None:
    """Raises ValueError where a column is not in the header exactly once."""
    for column in columns:
        count = list(header).count(column)
        if count != 1:
            times = "no" if count == 0 else f"{count} times the"
            raise ValueError(f"{path}: {times} column {column!r} in the header {list(header)}")


def _column_names(path: str, dialect: Dialect, columns: Sequence[str]) -> list[str]:
    line = first_line(path)
    if dialect.names is not None:
        return list(dialect.names)
    if dialect.quoted:
        header = next(csv.reader([line], delimiter=dialect.delimiter))
    else:
        header = line.split(dialect.delimiter)
    check_header(path, header, columns)
    return header


def _rows(
    path: str, raw: RawFile, names: list[str], dialect: Dialect, columns: Sequence[str]
) -> RawRows:
    header_lines = 0 if dialect.names is not None else 1
    lines = LineNumbers(1 + header_lines)
    problems: list[Problem] = []

    def skip(row: pyarrow.csv.InvalidRow) -> str:
        lines.skipped.append(row.number)
        lines.swallowed += row.text.count("\n")
        if len(problems) < 5:
            requirement = f"{row.expected_columns} columns"
            problems.append(Problem(path, row.number, "the line", row.text, requirement))
        return "skip"

    def blocks() -> Iterator[tuple[dict[str, pa.Array], int]]:
        try:
            reader = pyarrow.csv.open_csv(
                pa.PythonFile(raw, mode="r"),
                # One thread: only then does a refused row know its number.
                read_options=pyarrow.csv.ReadOptions(
                    use_threads=False,
                    block_size=_BLOCK_BYTES,
                    column_names=_unique(names),
                    skip_rows=header_lines,
                ),
                parse_options=pyarrow.csv.ParseOptions(
                    delimiter=dialect.delimiter,
                    quote_char='"' if dialect.quoted else False,
                    newlines_in_values=dialect.quoted,
                    ignore_empty_lines=False,
                    invalid_row_handler=skip,
                ),
                convert_options=pyarrow.csv.ConvertOptions(
                    column_types={column: pa.binary() for column in columns},
                    include_columns=list(columns),
                    strings_can_be_null=False,
                ),
            )
            with progress(path) as bar:
                for batch in reader:
                    bar.update(raw.bytes_read - bar.n)
                    yield dict(zip(columns, batch.columns, strict=True)), len(batch)
        except pa.ArrowInvalid as error:
            if header_lines and not raw.read(1) and _HEADER_ALONE.search(str(error)):
                return
            raise ValueError(f"{path}: {error}") from error
        if dialect.quoted and raw.quotes % 2:
            raise ValueError(f"{path}: a quoted cell has no end: {raw.quotes} double quotes")

    return RawRows(path, blocks(), lines, problems, raw.source_file)


def _unique(names: list[str]) -> list[str]:
    """Names in which a column that occurs twice, which is never read, does not clash."""
    return [
        f"{name}#{place}" if name in names[:place] else name for place, name in enumerate(names)
    ]
