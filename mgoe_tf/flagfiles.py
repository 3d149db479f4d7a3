"""Flagfiles that come with the package, found by their name from any folder."""

from __future__ import annotations

import importlib.resources
import os
from collections.abc import Sequence


def find_flagfiles(argv: Sequence[str]) -> list[str]:
    """`argv` with the flagfiles that only this package has replaced by where it was installed.

    `--flagfile=mgoe_tf/configs/mgoe.flags` and `--flagfile=mgoe.flags` work from any folder.
    """
    result, takes_value = [], False
    for argument in argv:
        name, equals, path = argument.partition("=")
        if takes_value:
            result.append(_find_flagfile(argument))
        elif name in ("--flagfile", "-flagfile") and equals:
            result.append(f"{name}={_find_flagfile(path)}")
        else:
            result.append(argument)
        takes_value = argument in ("--flagfile", "-flagfile")
    return result


def _find_flagfile(path: str) -> str:
    path = os.path.expanduser(path)
    packaged = importlib.resources.files("mgoe_tf") / "configs" / os.path.basename(path)
    return str(packaged) if not os.path.exists(path) and packaged.is_file() else path
