"""The folders and files below a local directory."""

from __future__ import annotations

import os
from collections.abc import Iterator


def walk(path: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """As os.walk, through links to directories too; what has two names is met under one.

    Raises:
      OSError: a directory cannot be read.
    """
    seen = {os.path.realpath(path)}

    def fail(error: OSError) -> None:
        raise error

    for folder, folders, names in os.walk(path, onerror=fail, followlinks=True):
        # A directory's own name goes before a link to it.
        paths = {name: os.path.join(folder, name) for name in folders}
        folders.sort(key=lambda name: (os.path.islink(paths[name]), name))
        for name in list(folders):
            real = os.path.realpath(paths[name])
            if real in seen:
                folders.remove(name)
            seen.add(real)
        yield folder, folders, names
