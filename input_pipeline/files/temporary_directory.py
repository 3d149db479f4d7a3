"""Directories that are being written, and what is left of them when their writer is killed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator

from input_pipeline.files import filesystem
from input_pipeline.files.failures import doing

# Held until the process ends, however it ends.
_locks = contextlib.ExitStack()


class _LockedError(Exception):
    """Another process holds the lock of a directory."""


@contextlib.contextmanager
def _locked(directory: str) -> Iterator[None]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _LockedError(directory) from None
        yield
    finally:
        os.close(descriptor)


def temporary_directory(path: str) -> str:
    """Makes a hidden local directory, to write to before `publish`.

    It is beside a local `path`. What goes to an object store, which has neither directories nor
    locks, is made in the machine's directory for temporary files (TMPDIR) and copied when it is
    finished. It is locked while this process lives. Those of processes that were killed are removed
    first.
    """
    if filesystem.is_remote(path):
        name = path.rstrip("/").rpartition("/")[2]
        path = os.path.join(tempfile.gettempdir(), f"mgoe_tf-{name}")
    for abandoned in filesystem.temporary_siblings(path):
        with contextlib.suppress(OSError, _LockedError), _locked(abandoned):
            shutil.rmtree(abandoned)
    while True:
        temporary = filesystem.temporary_sibling(path)
        with doing("making a directory beside", path):
            os.makedirs(temporary)
        with contextlib.suppress(_LockedError):
            _locks.enter_context(_locked(temporary))
            if os.path.isdir(temporary):  # nobody took it for abandoned before it was locked
                return temporary
