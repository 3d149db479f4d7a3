"""What lies where in the shards of a data set: rows of each record, and where reading can begin.

With it the order of an epoch is known without reading a record, a shard that lost rows is noticed,
and a run that goes on begins in the middle of a shard.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from input_pipeline.files import filesystem
from input_pipeline.records.crc import crc32

# A gzip file begins with no name and no time, so that equal rows give equal files, and ends with an
# empty deflate block, the CRC-32 and the length of what it holds.
GZIP_HEADER = b"\x1f\x8b\x08" + bytes(6) + b"\xff"
GZIP_END = b"\x03\x00"
_TRAILER_BYTES = len(GZIP_END) + 8
_FILE = "index.npz"
_COPY_BYTES = 8 * 2**20


@dataclasses.dataclass(frozen=True)
class ShardIndex:
    """The records of one shard.

    Attributes:
      rows: uint8 [N], of each record.
      offsets: int64 [M + 1], where each compressed block begins in the file, and where the last
        one ends.
      records: int64 [M], of each block.
      checksums: uint32 [M], CRC-32 of what each block holds.
      sizes: int64 [M], bytes of what each block holds.
    """

    rows: NDArray[Any]
    offsets: NDArray[Any]
    records: NDArray[Any]
    checksums: NDArray[Any]
    sizes: NDArray[Any]

    def copy_tail(self, source: str, first_record: int, target: str) -> int:
        """Copies a shard from the block that holds a record on, as a gzip file of its own.

        No byte is decompressed: a block refers to nothing before it.

        Args:
          source: path of the shard.
          first_record: below `N`.
          target: path of the copy, local.

        Returns:
          How many records before `first_record` the copy has.

        Raises:
          ValueError: the shard is not the one that was indexed.
        """
        expected = int(self.offsets[-1]) + _TRAILER_BYTES
        if filesystem.size_bytes(source) != expected:
            raise ValueError(
                f"{source}: expected {expected} bytes as the index tells, got "
                f"{filesystem.size_bytes(source)}"
            )
        ends = np.cumsum(self.records)
        block = int(np.searchsorted(ends, first_record, side="right"))
        checksum = np.zeros(1, np.uint32)
        for number in range(block, len(self.records)):
            checksum = crc32().combine(
                checksum, self.checksums[number : number + 1], self.sizes[number : number + 1]
            )
        with (
            filesystem.open_binary(source) as reader,
            filesystem.open_binary(target, "wb") as writer,
        ):
            reader.seek(int(self.offsets[block]))
            left = int(self.offsets[-1] - self.offsets[block])
            writer.write(GZIP_HEADER)
            while left:
                part = reader.read(min(left, _COPY_BYTES))
                writer.write(part)
                left -= len(part)
            writer.write(gzip_trailer(int(checksum[0]), int(self.sizes[block:].sum())))
        return first_record - int(ends[block] - self.records[block])


def gzip_trailer(checksum: int, num_bytes: int) -> bytes:
    """The end of a gzip file that holds `num_bytes` bytes of this CRC-32."""
    return GZIP_END + checksum.to_bytes(4, "little") + (num_bytes % 2**32).to_bytes(4, "little")


def write_index(data_dir: str, shards: Mapping[str, ShardIndex]) -> None:
    """Writes the index of a data set, `examples/index.npz`.

    Args:
      data_dir: the data set directory.
      shards: by the name of the file.
    """
    arrays = {
        f"{name}/{field.name}": getattr(index, field.name)
        for name, index in shards.items()
        for field in dataclasses.fields(ShardIndex)
    }
    filesystem.save_arrays(filesystem.join(data_dir, "examples", _FILE), arrays, compressed=True)


def read_index(data_dir: str) -> dict[str, ShardIndex]:
    """The index of a data set by the names of its files.

    Raises:
      ValueError: the data set has none.
    """
    path = filesystem.join(data_dir, "examples", _FILE)
    if not filesystem.exists(path):
        raise ValueError(f"{data_dir}: its shards have no index, expected {path}: prepare it again")
    arrays = filesystem.load_arrays(path)
    fields: dict[str, dict[str, NDArray[Any]]] = {}
    for key, array in arrays.items():
        name, field = os.path.split(key)
        fields.setdefault(name, {})[field] = array
    return {name: ShardIndex(**values) for name, values in fields.items()}
