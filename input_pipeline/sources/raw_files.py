"""The raw files of a log: found by path, glob or directory, unpacked and checksummed as read."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
from collections.abc import Iterator
from typing import Any, BinaryIO

from isal import igzip, isal_zlib
from tqdm import tqdm

from input_pipeline.files import filesystem
from input_pipeline.spec import SourceFile

_IGzipFile: Any = igzip.IGzipFile  # isal has no types
_GZIP_MAGIC = b"\x1f\x8b"
_BROKEN_GZIP: Any = (EOFError, isal_zlib.error, gzip.BadGzipFile)
_BUFFER_BYTES = 1 << 22
_GLOB_CHARACTERS = frozenset("*?[")


def find_files(path: str) -> tuple[str, ...]:
    """The files of `--input`, sorted by name.

    In a directory, names that begin with `.` or `_` are no data, as Hadoop has it.

    Raises:
      ValueError: no path was given or nothing is there.
    """
    if not path:
        raise ValueError("--input: this source needs a file, a glob or a directory, got ''")
    if filesystem.is_directory(path):
        names = [name for name in filesystem.listdir(path) if name[0] not in "._"]
        files = [filesystem.join(path, name) for name in names]
        files = [file for file in files if not filesystem.is_directory(file)]
    elif filesystem.exists(path):
        files = [path]
    elif _GLOB_CHARACTERS.intersection(path):
        files = [file for file in filesystem.glob(path) if not filesystem.is_directory(file)]
    else:
        raise ValueError(f"--input: no such file or directory: {path}")
    if not files:
        raise ValueError(f"--input: no files match {path}")
    return tuple(files)


class _Checksummed(io.RawIOBase):
    """Passes the bytes of `file` on and keeps their number and SHA-256."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.size_bytes = 0
        self.sha256 = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self.file.read(len(buffer))
        buffer[: len(data)] = data
        self.sha256.update(data)
        self.size_bytes += len(data)
        return len(data)


class RawFile:
    """A raw file that is being read; unpacked where it is gzip. It reads as a binary file does.

    Attributes:
      quotes: how many double quotes were read.
    """

    closed = False

    def __init__(self, path: str, file: BinaryIO) -> None:
        self.path = path
        self.quotes = 0
        self._raw = _Checksummed(file)
        self._buffered = io.BufferedReader(self._raw, _BUFFER_BYTES)
        packed = self._buffered.peek(2)[:2] == _GZIP_MAGIC
        self._stream: Any = _IGzipFile(fileobj=self._buffered) if packed else self._buffered

    @property
    def bytes_read(self) -> int:
        """Of the file as stored."""
        return self._raw.size_bytes

    def read(self, size: int) -> bytes:
        """At most `size` bytes; b"" at the end. A broken gzip file is a ValueError."""
        with self._errors():
            data = self._stream.read(size)
        self.quotes += data.count(b'"')
        return data

    def readline(self) -> bytes:
        with self._errors():
            return self._stream.readline()

    def source_file(self) -> SourceFile:
        """Size and checksum of the whole file; reads on to its end."""
        while self._buffered.read(_BUFFER_BYTES):
            pass
        return SourceFile(self.path, self._raw.size_bytes, self._raw.sha256.hexdigest())

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except _BROKEN_GZIP as error:
            raise ValueError(f"{self.path}: broken gzip file: {error}") from error


@contextlib.contextmanager
def open_raw(path: str) -> Iterator[RawFile]:
    """Opens a raw file, plain or gzip."""
    with filesystem.open_binary(path) as file:
        yield RawFile(path, file)


def first_line(path: str) -> str:
    """The first line of a text file without its end and byte order mark.

    Raises:
      ValueError: the file is empty.
    """
    with open_raw(path) as raw:
        line = raw.readline()
    if not line.strip():
        raise ValueError(f"{path}: the file is empty")
    return line.decode("utf-8-sig", errors="replace").rstrip("\r\n")


@contextlib.contextmanager
def progress(path: str) -> Iterator[tqdm]:
    """A bar of the bytes read, for the files that take longer than a second or two."""
    with tqdm(desc=f"read {path}", unit="B", unit_scale=True, delay=2) as bar:
        yield bar
