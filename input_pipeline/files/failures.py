"""What went wrong with a file, in one line that names the path."""

from __future__ import annotations

import contextlib
import errno
import re
import sys
from collections.abc import Iterator

_HINTS = {
    errno.EMFILE: " (`ulimit -n` tells how many this shell allows, `ulimit -n 4096` allows more)",
}
# TensorFlow puts the operation around what went wrong: {{node SaveV2}} ... [Op:SaveV2]
_OPERATION = re.compile(r"\{\{[^}]*\}\}\s*|\s*\[Op:.*")


class FileError(OSError):
    """Something could not be done with a path. The message says what, with which, and why."""

    def __init__(self, message: str, number: int | None = None) -> None:
        super().__init__(message)
        self.errno = number


@contextlib.contextmanager
def doing(action: str, path: str) -> Iterator[None]:
    """Names an action and its path in an error of Python's or of TensorFlow's file systems.

    That a file exists, or that there is none, is said as Python says it: callers ask for that.

    Raises:
      FileError: for any other error of a file system.
    """
    try:
        yield
    except (FileError, FileExistsError, FileNotFoundError):
        raise
    except Exception as error:
        if not is_failure(error):
            raise
        number = error.errno if isinstance(error, OSError) else None
        raise FileError(f"{action} {path}: {reason(error, path)}", number) from error


def is_failure(error: BaseException) -> bool:
    """Whether an error is an operating system's or TensorFlow's, which need not be imported."""
    errors = sys.modules.get("tensorflow.python.framework.errors_impl")
    return isinstance(error, OSError) or (errors is not None and isinstance(error, errors.OpError))


def reason(error: BaseException, path: str = "") -> str:
    """Why, in one line, with the file that Python names, unless it is `path`."""
    if isinstance(error, FileError):
        return str(error)
    if isinstance(error, OSError):
        named = f"{error.filename}: " if error.filename not in (None, path) else ""
        text = error.strerror or str(error) or type(error).__name__
        return named + text + _HINTS.get(error.errno or 0, "")
    text = str(getattr(error, "message", error)).strip() or type(error).__name__
    return _OPERATION.sub("", text.splitlines()[0]).strip() or type(error).__name__
