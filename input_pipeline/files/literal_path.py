"""Paths for those parts of TensorFlow that take every path as a pattern.

Checkpoints, and the variables of a SavedModel, are looked for as patterns, so that those in a
directory called `run[1]` are not found, and superseded ones never removed.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import os
import shutil
import tempfile

from input_pipeline.files import filesystem

_SPECIAL = frozenset("*?[\\")


def literal_path(directory: str) -> str:
    """A path of a directory that TensorFlow takes as it is written, until this process ends.

    It is `directory` itself, or a link to it in the temporary directory of the system. Of a remote
    one there is no other path.
    """
    if filesystem.is_remote(directory) or _SPECIAL.isdisjoint(directory):
        return directory
    target = os.path.abspath(directory)
    link = os.path.join(_links(), hashlib.sha256(target.encode()).hexdigest()[:16])
    if not os.path.islink(link):
        os.symlink(target, link)
    return link


@functools.cache
def _links() -> str:
    folder = tempfile.mkdtemp(prefix="mgoe-links-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
