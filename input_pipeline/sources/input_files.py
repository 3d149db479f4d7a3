"""The raw files that `--input` names, and what the names of their folders tell of their lines."""

from __future__ import annotations

import urllib.parse
from collections.abc import Sequence

from input_pipeline.files import filesystem, patterns

_NO_DATA = (".", "_")
_NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"


def find_files(inputs: str | Sequence[str]) -> tuple[str, ...]:
    """The files of `--input`, those of each input sorted by name, no file twice.

    A directory is read whole, its folders too. Names in it that begin with `.` or `_` are no data,
    as Hadoop has it, and neither are those that a pattern matches without saying so.

    Raises:
      ValueError: no path was given, or one names no file.
    """
    inputs = (inputs,) if isinstance(inputs, str) else inputs
    if not any(inputs):
        raise ValueError("--input: this source needs a file, a glob or a directory, got ''")
    return tuple(dict.fromkeys(file for path in inputs for file in _files_of(path)))


def _files_of(path: str) -> list[str]:
    if filesystem.is_directory(path):
        files = _files_below(path)
        if not files:
            raise ValueError(
                f"--input: no files in the directory {path} and its folders (names that begin with "
                "'.' or '_' are no data)"
            )
        return files
    if filesystem.exists(path):
        return [path]
    if not patterns.is_pattern(path):
        raise ValueError(f"--input: no such file or directory: {path}")
    beginning, rest = patterns.split(path)
    hidden = any(part.startswith(_NO_DATA) for part in rest.split("/"))
    found: list[str] = []
    for match in patterns.glob(path):
        if not hidden and _is_no_data(match[len(beginning) :]):
            continue
        found += _files_below(match) if filesystem.is_directory(match) else [match]
    if found:
        return sorted(set(found))
    if beginning and not filesystem.exists(beginning):
        raise ValueError(f"--input: no files match {path}: there is no {beginning}")
    raise ValueError(
        f"--input: no files match {path}: nothing in {beginning or '.'} is like {rest} (* is "
        "within a name, ** any number of folders; names that begin with '.' or '_' are no data)"
    )


def _files_below(path: str) -> list[str]:
    names = filesystem.files_below(path)
    return [filesystem.join(path, name) for name in names if not _is_no_data(name)]


def _is_no_data(path: str) -> bool:
    return any(part.startswith(_NO_DATA) for part in path.split("/"))


def partition_values(path: str) -> dict[str, bytes]:
    """The columns that folders called `name=value` give all lines of a file, as Hive writes them.

    Characters that cannot be in a folder's name are there as %2F. A value that is missing is an
    empty cell.
    """
    values = {}
    for folder in path.split("/")[:-1]:
        name, equals, value = folder.partition("=")
        if name and equals:
            cell = b"" if value == _NULL_PARTITION else urllib.parse.unquote_to_bytes(value)
            values[urllib.parse.unquote(name)] = cell
    return values
