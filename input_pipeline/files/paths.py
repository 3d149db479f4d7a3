"""Directories that must not lie in each other."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping

from input_pipeline.files import filesystem


def require_apart(directories: Mapping[str, str]) -> None:
    """Raises ValueError where a directory is another one, or lies inside it.

    Args:
      directories: by the name of their flag, without hyphens; links are followed.
    """
    for (one, its), (other, theirs) in itertools.permutations(directories.items(), 2):
        inner, outer = _normal(its), _normal(theirs)
        if f"{inner}/".startswith(outer.removesuffix("/") + "/"):
            where = "the same as" if inner == outer else "inside"
            raise ValueError(
                f"--{one}: must be a directory of its own, got {its}, {where} "
                f"--{other}={theirs}: what one command writes there, another would read or remove"
            )


def _normal(path: str) -> str:
    return path.rstrip("/") if filesystem.is_remote(path) else os.path.realpath(path)
