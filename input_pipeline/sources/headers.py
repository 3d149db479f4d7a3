"""Which of a file's columns are meant, by the names in its header and in those of its folders."""

from __future__ import annotations

import csv
import difflib
import io
import re
from collections.abc import Mapping, Sequence

DELIMITERS = {"comma": ",", "tab": "\t", "semicolon": ";", "pipe": "|"}
_OTHER_NAMES = {"space": " ", r"\t": "\t"}
# RecBole's headers tell types too.
_TYPE = re.compile(r":(token|float|token_seq|float_seq)$")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_SHOWN_CHARACTERS = 400


def delimiter_character(text: str) -> str | None:
    """The character that `--delimiter` means; None where it is to be seen.

    Raises:
      ValueError: it means none.
    """
    character = {**DELIMITERS, **_OTHER_NAMES}.get(text, text)
    if len(character) > 1 or not character.isascii() or character in ('"', "\r", "\n", "\0"):
        names = ", ".join([*DELIMITERS, "space"])
        raise ValueError(f"--delimiter: must be one ASCII character or of {names}, got {text!r}")
    return character or None


def delimiter_name(character: str) -> str:
    """How a delimiter is called in messages."""
    names = {character: name for name, character in {**DELIMITERS, "space": " "}.items()}
    return names.get(character, repr(character))


def cells_of(line: str, delimiter: str, quoted: bool) -> list[str]:
    """The cells of one row, without blanks around them.

    Raises:
      ValueError: a cell is too long for a header.
    """
    if not quoted:
        return [cell.strip() for cell in line.split(delimiter)]
    text = io.StringIO(line, newline="")
    try:
        cells = next(csv.reader(text, delimiter=delimiter, skipinitialspace=True))
        return [cell.strip() for cell in cells]
    except csv.Error as error:
        raise ValueError(f"the first line is no header: {error}") from None


def see_delimiter(line: str, columns: Sequence[str], names: Sequence[str], quoted: bool) -> str:
    """The delimiter by which a first line has most of the columns, then most cells.

    Args:
      line: the first of a file.
      columns: that are looked for.
      names: of the columns where the line is no header; else ().
      quoted: whether cells may be quoted.
    """

    def worth(delimiter: str) -> tuple[int, int]:
        cells = cells_of(line, delimiter, quoted)
        if names:
            return int(len(cells) == len(names)), len(cells)
        return sum(bool(_places(cells, column)) for column in columns), len(cells)

    return max(DELIMITERS.values(), key=worth)


def find_columns(
    path: str,
    header: Sequence[str],
    columns: Sequence[str],
    partition: Mapping[str, bytes],
    note: str = "",
) -> dict[str, int | bytes]:
    """By column, its place in the header, or else the cell that the file's folder gives all rows.

    A type of RecBole's at the end of a name in the header (`user_id:token`) may be left out.

    Args:
      path: of the file, for messages.
      header: the names, without blanks around them.
      columns: that are looked for.
      partition: cells by name that the file's folders tell.
      note: more about the header for a message.

    Raises:
      ValueError: a column is nowhere, or twice in the header.
    """
    found: dict[str, int | bytes] = {}
    for column in columns:
        places = _places(header, column)
        if len(places) == 1:
            found[column] = places[0]
        elif not places and column in partition:
            found[column] = partition[column]
        else:
            times = "no" if not places else f"{len(places)} times the"
            shown = str(list(header))
            if len(shown) > _SHOWN_CHARACTERS:
                shown = f"{shown[:_SHOWN_CHARACTERS]}... of {len(header)} names"
            hints = "" if places else _hints(header, column, partition)
            raise ValueError(
                f"{path}: {times} column {column!r} in the header {shown}{note}{hints}"
            )
    return found


def _places(header: Sequence[str], column: str) -> list[int]:
    wanted = column.strip()
    exact = [place for place, name in enumerate(header) if name == wanted]
    return exact or [place for place, name in enumerate(header) if _TYPE.sub("", name) == wanted]


def _hints(header: Sequence[str], column: str, partition: Mapping[str, bytes]) -> str:
    """What may be meant where a column is not in the header."""
    hints = ""
    if partition:
        hints += f"; its folders tell {list(partition)}"
    by_lower = {name.lower(): name for name in [*header, *partition]}
    close = difflib.get_close_matches(column.strip().lower(), by_lower, 1, 0.75)
    if close:
        hints += f"; is {by_lower[close[0]]!r} meant?"
    if any(_NUMBER.fullmatch(name) for name in header):
        hints += "; the first line looks like data: --columns names those of files without a header"
    return hints
