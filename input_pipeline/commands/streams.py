"""Standard output and standard error as commands may rely on: writing to them never fails for
what they are.

What their encoding cannot show is escaped. One that was closed before the command began, or whose
reader has gone (`| head`), takes everything and shows nothing. Standard library only.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import Any, TextIO


class _Output(io.FileIO):
    """A descriptor that leads nowhere once nobody reads it."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "w", closefd=False)

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            _discard(self.fileno())
            return super().write(data)


def open_streams() -> None:
    """To be called before a command opens its first file.

    A closed descriptor from 0 to 2 would be given to that file, which would then receive what
    libraries print. Streams that somebody else has put in place of Python's own are left alone.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest one that is free
    sys.stdout = _opened(sys.stdout, sys.__stdout__)
    sys.stderr = _opened(sys.stderr, sys.__stderr__)


def _opened(stream: TextIO | None, original: TextIO | None) -> TextIO:
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8")
    if stream is not original or not isinstance(stream, io.TextIOWrapper):
        return stream
    with contextlib.suppress(OSError):
        stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_Output(stream.fileno())),
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def flush_streams() -> None:
    """Writes what waits to be written.

    Raises:
      OSError: it cannot be, on a full disk, say; what is written later is lost without another
        error.
    """
    failure = None
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError as error:
            failure = error
            _discard(stream.fileno())
    if failure is not None:
        raise failure


def _discard(descriptor: int) -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, descriptor)
    os.close(null)
