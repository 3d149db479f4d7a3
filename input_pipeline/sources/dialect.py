"""How the lines of a delimited text file become cells, as told and as its first line shows."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from input_pipeline.sources import headers
from input_pipeline.sources.input_files import partition_values
from input_pipeline.sources.raw_files import RawFile

_LINE_END = re.compile(rb"\r\n?|\n")
_MOST_HEADER_LINES = 100


@dataclasses.dataclass(frozen=True)
class Dialect:
    """How lines become cells.

    Attributes:
      names: the columns of a file without a header; None: the first line names them.
      delimiter: one character; None: the one of headers.DELIMITERS that the first line of each file
        shows, which is told on the terminal where it is not a comma.
      quoted: whether cells may be in double quotes, and then hold delimiters and line ends.
      encoding: of text without a byte order mark; None: bytes are taken as they are.
    """

    names: tuple[str, ...] | None = None
    delimiter: str | None = ","
    quoted: bool = False
    encoding: str | None = None


@dataclasses.dataclass(frozen=True)
class Table:
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


def begin_table(raw: RawFile, dialect: Dialect, columns: Sequence[str]) -> Table:
    """Reads the header of a file, if there is one.

    Raises:
      ValueError: the file is empty, or a column is not in the header exactly once.
    """
    line = raw.readline()
    blank_lines = 0
    while dialect.names is None and line and not line.strip():
        line = raw.readline()
        blank_lines += 1
    if not line:
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
    return Table(delimiter, len(names), found, 1 + blank_lines + header_lines)


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
