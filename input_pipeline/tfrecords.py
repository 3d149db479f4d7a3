"""Gzip TFRecord shards, compressed in blocks by several threads and put together in a seeded order.

A block is a run of whole deflate blocks that ends on a byte boundary and refers to nothing before
it (a full flush), so blocks can be compressed independently, and a shard is one plain gzip member
whatever their order. Blocks of all windows of a shard are shuffled: reading a shard meets the
windows mixed, and any shuffle buffer then sees all of them.
"""

from __future__ import annotations

import dataclasses
import struct

import numpy as np
from isal import isal_zlib

from input_pipeline import filesystem
from input_pipeline.crc import crc32

ROWS_PER_BLOCK = 4096
_LEVEL = 1
_HEADER = (
    b"\x1f\x8b\x08" + bytes(6) + b"\xff"
)  # No name and no time, so that equal rows give equal files.
_END = b"\x03\x00"  # An empty last deflate block.


@dataclasses.dataclass(frozen=True)
class Block:
    """Compressed records.

    Attributes:
      data: raw deflate, not ended.
      checksum: CRC-32 of the records.
      num_bytes: of the records.
    """

    data: bytes
    checksum: int
    num_bytes: int


def compress(records: np.ndarray) -> Block:
    """Compresses framed records, uint8 [bytes]."""
    compressor = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, -isal_zlib.MAX_WBITS)
    data = compressor.compress(records) + compressor.flush(isal_zlib.Z_FULL_FLUSH)
    return Block(data, isal_zlib.crc32(records), records.nbytes)


def shard_path(data_dir: str, split: str, shard: int, num_shards: int) -> str:
    name = f"{split}-{shard:05d}-of-{num_shards:05d}.tfrecord.gz"
    return filesystem.join(data_dir, "examples", name)


class Shard:
    """Collects a shard's blocks in a scratch file and writes the shard from them.

    Args:
      scratch: an open local file that this shard may append to and read from.
    """

    def __init__(self, scratch):
        self._scratch = scratch
        # (position, length, checksum, bytes of records) of each block.
        self._blocks: list[tuple[int, int, int, int]] = []

    def append(self, block: Block) -> None:
        position = self._scratch.tell()
        self._scratch.write(block.data)
        self._blocks.append((position, len(block.data), block.checksum, block.num_bytes))

    def write(self, path: str, random: np.random.Generator) -> None:
        """Writes the gzip file with the blocks in random order."""
        checksum, num_bytes = np.zeros(1, np.uint32), 0
        with filesystem.open_binary(path, "wb") as file:
            file.write(_HEADER)
            for index in random.permutation(len(self._blocks)).tolist():
                position, length, block_checksum, block_bytes = self._blocks[index]
                self._scratch.seek(position)
                file.write(self._scratch.read(length))
                right = np.array([block_checksum], np.uint32)
                checksum = crc32().combine(checksum, right, np.array([block_bytes]))
                num_bytes += block_bytes
            file.write(_END)
            file.write(struct.pack("<II", int(checksum[0]), num_bytes % 2**32))
