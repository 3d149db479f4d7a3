"""Remote files with the whole interface of Python's."""

from __future__ import annotations

import io
import os
from typing import Any

from input_pipeline.files.failures import doing


class RemoteFile(io.RawIOBase):
    """A `tf.io.gfile.GFile` opened in mode `rb` or `wb`, as an unbuffered Python file."""

    def __init__(self, path: str, file: Any, mode: str) -> None:
        self._path = path
        self._file = file
        self._mode = mode
        if mode == "wb":
            self.write(b"")  # A file that nothing is written to would not come to be.

    def readable(self) -> bool:
        return self._mode == "rb"

    def writable(self) -> bool:
        return self._mode == "wb"

    def seekable(self) -> bool:
        return self._mode == "rb"

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def write(self, data: Any) -> int:
        with doing("writing", self._path):
            self._file.write(bytes(data))
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._file.seek(offset, whence)
        return self._file.tell()

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        if not self.closed:
            with doing("writing" if self._mode == "wb" else "reading", self._path):
                self._file.close()
        super().close()
