"""Shell patterns of paths: `*`, `?` and `[...]` within a name, `**` for any number of folders.

What is there as it is written stands for itself: a directory may be called `run[1]`, and patterns
are looked for in it.
"""

from __future__ import annotations

import fnmatch
import glob as local_glob
from collections.abc import Sequence

from input_pipeline.files import filesystem

_SPECIAL = frozenset("*?[")


def is_pattern(name: str) -> bool:
    """Whether a path or a name holds characters that a pattern gives a meaning."""
    return not _SPECIAL.isdisjoint(name)


def split(pattern: str) -> tuple[str, str]:
    """The longest beginning that is taken as it is written, and the rest; either may be empty."""
    scheme, separator, path = pattern.rpartition("://")
    parts = path.split("/")
    literal = 0
    while literal < len(parts):
        beginning = scheme + separator + "/".join(parts[: literal + 1])
        if is_pattern(parts[literal]) and not filesystem.exists(beginning):
            break
        literal += 1
    beginning = "/".join(parts[:literal])
    if literal and not beginning:  # of a local path that begins with a slash
        beginning = "/"
    return scheme + separator + beginning, "/".join(parts[literal:])


def glob(pattern: str) -> list[str]:
    """The paths that match, sorted. `*` and `**` match no local name that begins with a dot."""
    beginning, rest = split(pattern)
    if not rest:
        return [pattern] if filesystem.exists(pattern) else []
    if not filesystem.is_remote(pattern):
        found = local_glob.glob(rest, root_dir=beginning or None, recursive=True)
        paths = [filesystem.join(beginning, name) if beginning else name for name in found]
    elif is_pattern(beginning) or "**" in rest:
        # A file system's own patterns know neither.
        parts = rest.split("/")
        paths = [
            filesystem.join(beginning, name)
            for name in _names_below(beginning)
            if _matches(name.split("/"), parts)
        ]
    else:
        paths = filesystem.remote_glob(pattern)
    return sorted(path.rstrip("/") for path in paths)


def _names_below(path: str) -> list[str]:
    """The paths of all files below a directory and of the folders that hold them, relative."""
    names: dict[str, None] = {}
    for name in filesystem.files_below(path):
        parts = name.split("/")
        names |= dict.fromkeys("/".join(parts[:end]) for end in range(1, len(parts) + 1))
    return list(names)


def _matches(names: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern:
        return not names
    if pattern[0] == "**":
        return any(_matches(names[start:], pattern[1:]) for start in range(len(names) + 1))
    matched = bool(names) and fnmatch.fnmatchcase(names[0], pattern[0])
    return matched and _matches(names[1:], pattern[1:])
