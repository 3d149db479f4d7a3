"""A raw file that is being read: unpacked, in UTF-8, and checksummed as it is stored."""

from __future__ import annotations

import codecs
import contextlib
import errno
import hashlib
import io
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from tqdm import tqdm

from input_pipeline.files import filesystem
from input_pipeline.sources import packing
from input_pipeline.spec import SourceFile

_BUFFER_BYTES = 1 << 22
_LINE_END = re.compile(rb"\r\n?|\n")
_LONGEST_FIRST_LINE_BYTES = 1 << 20
# The marks of UTF-32 begin like one of UTF-16.
_ENCODINGS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


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


class _InUtf8:
    """The text of a stream that begins with a byte order mark of another encoding."""

    def __init__(self, stream: Any, encoding: str) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)()

    def read(self, size: int) -> bytes:
        text = ""
        while not text:
            data = self._stream.read(size)
            text = self._decoder.decode(data, final=not data)
            if not data:
                break
        return text.encode()


class _Ahead:
    """A stream whose next bytes are known already."""

    def __init__(self, ahead: bytes, stream: Any) -> None:
        self._ahead = ahead
        self._stream = stream

    def read(self, size: int) -> bytes:
        ahead, self._ahead = self._ahead, b""
        return ahead or self._stream.read(size)


class RawFile:
    """A raw file that is being read. It reads as a binary file does.

    Args:
      path: told in messages.
      file: its bytes as they are stored; closed by the caller.
      encoding: of text without a byte order mark; None: its bytes are taken as they are.
    """

    closed = False

    def __init__(self, path: str, file: BinaryIO, encoding: str | None = None) -> None:
        self.path = path
        self._raw = _Checksummed(file)
        self._buffered = io.BufferedReader(self._raw, _BUFFER_BYTES)
        self._packing = packing.packing(self._buffered.peek(packing.LONGEST_MAGIC))
        self._stream: Any = self._buffered
        self._next = b""
        with self._errors():
            if self._packing == "zip":
                # Its contents are told at its end, so the checksum is a pass of its own.
                self._read_on()
                file.seek(0)
                self._stream = packing.unpack("zip", file)
            elif self._packing:
                self._stream = packing.unpack(self._packing, self._buffered)
        mark = self._peek(len(codecs.BOM_UTF32_LE))
        marked = (name for bom, name in _ENCODINGS.items() if mark.startswith(bom))
        encoding = None if mark.startswith(codecs.BOM_UTF8) else next(marked, encoding)
        if encoding:
            self._stream = _InUtf8(_Ahead(self._next, self._stream), encoding)
            self._next = b""
        self._next = self._next.removeprefix(codecs.BOM_UTF8)

    @property
    def bytes_read(self) -> int:
        """Of the file as stored."""
        return self._raw.size_bytes

    def read(self, size: int) -> bytes:
        """`size` bytes, fewer at the end only. A broken file is a ValueError."""
        data = self._peek(size)
        self._next = data[size:]
        return data[:size]

    def readline(self) -> bytes:
        r"""The next line with its end, which is \n, \r\n or \r; b"" at the end.

        Raises:
          ValueError: it is longer than the first line of a table can be.
        """
        size = _BUFFER_BYTES >> 6
        while True:
            data = self._peek(size)
            found = _LINE_END.search(data)
            at_end = len(data) < size
            # After the last \r that is known a \n may come.
            if found and (found.end() < len(data) or at_end or found[0] == b"\n"):
                return self.read(found.end())
            if at_end:
                return self.read(len(data))
            if size > _LONGEST_FIRST_LINE_BYTES:
                raise ValueError(
                    f"{self.path}: its first line has no end within {size >> 20} MiB; is it a "
                    "table of lines?"
                )
            size *= 2

    def unread(self, data: bytes) -> None:
        """Has `data`, which was read last, come again."""
        self._next = data + self._next

    def is_empty(self) -> bool:
        """Whether nothing is left to be read."""
        return not self._peek(1)

    def check_text(self) -> None:
        """Raises ValueError where the next bytes are not those of a text."""
        head = self._peek(packing.HEAD_BYTES)[: packing.HEAD_BYTES]
        try:
            packing.check_text(head)
        except ValueError as error:
            raise ValueError(f"{self.path}: {error}") from None

    def source_file(self) -> SourceFile:
        """Size and checksum of the whole file as stored; reads on to its end."""
        if self._packing != "zip":  # which was read to its end first
            self._read_on()
        return SourceFile(self.path, self._raw.size_bytes, self._raw.sha256.hexdigest())

    def _read_on(self) -> None:
        while self._buffered.read(_BUFFER_BYTES):
            pass

    def _peek(self, size: int) -> bytes:
        """At least `size` bytes, fewer at the end, which `read` gives again."""
        parts, have = [self._next] if self._next else [], len(self._next)
        with self._errors():
            while have < size and (data := self._stream.read(size - have)):
                parts.append(data)
                have += len(data)
        self._next = parts[0] if len(parts) == 1 else b"".join(parts)
        return self._next

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        broken = f"{self.path}: broken {self._packing or 'text'} file"
        try:
            yield
        except packing.BROKEN as error:
            raise ValueError(f"{broken}: {error}") from error
        except UnicodeDecodeError as error:
            raise ValueError(f"{self.path}: broken {error.encoding} text: {error}") from error
        except OSError as error:
            # One with a number is the disk's or the network's; or a zip file tells places that
            # are none.
            if error.errno not in (None, errno.EINVAL) or not self._packing:
                raise
            raise ValueError(f"{broken}: {error}") from error
        except ValueError as error:
            raise ValueError(f"{self.path}: {error}") from error


@contextlib.contextmanager
def open_raw(path: str, encoding: str | None = None) -> Iterator[RawFile]:
    """Opens a raw file of any packing; `encoding` as RawFile has it."""
    with filesystem.open_binary(path) as file:
        yield RawFile(path, file, encoding)


def stored_file(path: str) -> SourceFile:
    """Size and checksum of a file that is not read through a RawFile."""
    with filesystem.open_binary(path) as file:
        raw = _Checksummed(file)
        with io.BufferedReader(raw, _BUFFER_BYTES) as reader:
            while reader.read(_BUFFER_BYTES):
                pass
    return SourceFile(path, raw.size_bytes, raw.sha256.hexdigest())


def first_line(path: str) -> str:
    """The first line of a text file without its end and byte order mark.

    Raises:
      ValueError: the file is empty, or no text.
    """
    with open_raw(path) as raw:
        raw.check_text()
        line = raw.readline()
    if not line.strip():
        raise ValueError(f"{path}: the file is empty")
    return line.decode("utf-8", errors="replace").rstrip("\r\n")


@contextlib.contextmanager
def progress(path: str) -> Iterator[tqdm]:
    """A bar of the bytes read, for the files that take longer than a second or two."""
    with tqdm(desc=f"read {path}", unit="B", unit_scale=True, delay=2) as bar:
        yield bar
