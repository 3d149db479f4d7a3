"""Reads records of a TFRecord file without TensorFlow.

https://www.tensorflow.org/tutorials/load_data/tfrecord describes the bytes: a length (uint64), its
checksum, the record, its checksum. Checksums are not looked at: the server parses the records.
"""

from __future__ import annotations

import gzip
import itertools
import struct
import zlib
from collections.abc import Iterator
from typing import IO, cast

from input_pipeline.files import filesystem

_HEADER = struct.Struct("<QI")
_FOOTER_BYTES = 4
_PART_BYTES = 1 << 20


def read_records(path: str, count: int) -> list[bytes]:
    """The first `count` records of a file, plain or gzip, or all if it has fewer.

    Raises:
      ValueError: it is no TFRecord file, or ends within a record.
    """
    try:
        return list(itertools.islice(_records(path), count))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path}: no TFRecord file, or a truncated one: {error}") from None


def _records(path: str) -> Iterator[bytes]:
    with filesystem.open_binary(path) as file:
        gzipped = file.read(2) == b"\x1f\x8b"
    with filesystem.open_binary(path) as file:
        stream = cast(IO[bytes], gzip.open(file) if gzipped else file)
        while header := stream.read(_HEADER.size):
            if len(header) < _HEADER.size:
                raise EOFError("it ends within a header")
            length, _ = _HEADER.unpack(header)
            record = _read(stream, length)
            if len(record) < length or len(stream.read(_FOOTER_BYTES)) < _FOOTER_BYTES:
                raise EOFError("it ends within a record")
            yield record


def _read(stream: IO[bytes], length: int) -> bytes:
    """That many bytes, or what there is: a length that is nonsense takes no memory."""
    parts = []
    while length and (part := stream.read(min(length, _PART_BYTES))):
        parts.append(part)
        length -= len(part)
    return b"".join(parts)
