"""Gzip TFRecord shards, compressed in blocks by several threads and put together in a seeded order.

A block is a run of whole deflate blocks that ends on a byte boundary and refers to nothing before
it (a full flush), so blocks can be compressed independently, and a shard is one plain gzip member
whatever their order. Blocks of all windows of a shard are shuffled, small ones: reading a shard
meets the windows mixed, and any shuffle buffer then sees all of them.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import dataclasses
import os
import tempfile
from typing import IO, Any, NamedTuple, Protocol

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray
from tqdm import tqdm

from input_pipeline.files import filesystem
from input_pipeline.files.failures import doing
from input_pipeline.log.windows import STREAM_ROW_ORDER, STREAM_SHARDS
from input_pipeline.records.crc import crc32
from input_pipeline.records.shard_index import (
    GZIP_HEADER,
    ShardIndex,
    gzip_trailer,
    write_index,
)

_LEVEL = 1
# Of what is encoded at once, which has a cost of its own. Compressing hardly minds: deflate looks
# back 32 kB, and a block is some 300 kB.
_BLOCKS_PER_CHUNK = 16


@dataclasses.dataclass(frozen=True)
class Block:
    """Compressed records.

    Attributes:
      data: raw deflate, not ended.
      checksum: CRC-32 of the records.
      num_bytes: of the records.
      rows: uint8 [N], how many rows each record has.
    """

    data: bytes
    checksum: int
    num_bytes: int
    rows: NDArray[Any]


def compress(records: NDArray[Any], rows: NDArray[Any]) -> Block:
    """Compresses framed records, uint8 [bytes], of so many rows each, uint8 [N]."""
    compressor = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, -isal_zlib.MAX_WBITS)
    data = compressor.compress(records) + compressor.flush(isal_zlib.Z_FULL_FLUSH)
    return Block(data, isal_zlib.crc32(records), records.nbytes, rows)


def shard_path(data_dir: str, split: str, shard: int, num_shards: int) -> str:
    """Where shard number `shard`, from 0, of a split of a data set lies."""
    name = f"{split}-{shard:05d}-of-{num_shards:05d}.tfrecord.gz"
    return filesystem.join(data_dir, "examples", name)


class Encoder(Protocol):
    """Records that are encoded when they are asked for, in threads.

    Attributes:
      records_per_chunk: how many are encoded at once; some MB.
    """

    records_per_chunk: int

    def __len__(self) -> int:
        """How many records there are."""

    def encode(self, index: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Records by number, int64 [N], framed: uint8 [bytes], and where each begins and ends.

        Record n is bytes[bounds[n]:bounds[n + 1]], bounds being int64 [N + 1].
        """

    def num_rows(self, index: NDArray[Any]) -> NDArray[Any]:
        """How many rows records by number, int64 [N], have: uint8 [N]."""


class ShardWriter:
    """Writes the shards of a data set; use it as a context manager.

    Example:
      with ShardWriter(data_dir, num_shards=8, num_workers=2, seed=0) as writer:
          writer.add("train", encoder)  # As often as there is more for a split.
          writer.finish()

    Args:
      data_dir: a local directory; compressed blocks wait in unnamed files there.
      num_shards: of each split.
      num_workers: threads that encode and compress; 0: one per core.
      seed: of the order of records and blocks.
    """

    def __init__(self, data_dir: str, num_shards: int, num_workers: int, seed: int):
        self._data_dir = data_dir
        self._num_shards = num_shards
        self._seed = seed
        self._num_workers = num_workers or os.cpu_count() or 1
        self._workers = concurrent.futures.ThreadPoolExecutor(self._num_workers)
        self._files = contextlib.ExitStack()
        self._shards: dict[str, list[_Shard]] = {}
        self._num_added = 0

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, *error: object) -> None:
        self._workers.shutdown(cancel_futures=True)
        # what could not be written is tried again, and what went wrong first is told
        with contextlib.suppress(OSError):
            self._files.close()

    def add(self, split: str, encoder: Encoder) -> None:
        """Deals records out to the shards of a split at random."""
        if split not in self._shards:
            with self._writing():
                self._shards[split] = [
                    _Shard(self._files.enter_context(tempfile.TemporaryFile(dir=self._data_dir)))
                    for _ in range(self._num_shards)
                ]
        random = np.random.default_rng([self._seed, STREAM_ROW_ORDER, self._num_added])
        self._num_added += 1
        order = random.permutation(len(encoder))
        waiting: collections.deque[tuple[_Shard, concurrent.futures.Future[list[Block]]]] = (
            collections.deque()
        )
        for number, shard in enumerate(self._shards[split]):
            records = order[number :: self._num_shards]
            for start in range(0, len(records), encoder.records_per_chunk):
                index = records[start : start + encoder.records_per_chunk]
                waiting.append((shard, self._workers.submit(_blocks, encoder, index)))
                # A few chunks at a time, to bound the memory.
                if len(waiting) >= 2 * self._num_workers:
                    self._append(*waiting.popleft())
        while waiting:
            self._append(*waiting.popleft())

    def _append(self, shard: _Shard, blocks: concurrent.futures.Future[list[Block]]) -> None:
        found = blocks.result()
        with self._writing():
            for block in found:
                shard.append(block)

    def _writing(self) -> contextlib.AbstractContextManager[None]:
        return doing("writing compressed records to an unnamed file in", self._data_dir)

    def finish(self) -> None:
        """Writes every shard, and the index of all."""
        indices: dict[str, ShardIndex] = {}
        written = tqdm(
            total=self._num_shards * len(self._shards), desc="shards", unit="shard", disable=None
        )
        with written:
            for index, (split, shards) in enumerate(self._shards.items()):
                for number, shard in enumerate(shards):
                    path = shard_path(self._data_dir, split, number, self._num_shards)
                    stream = [self._seed, STREAM_SHARDS, index, number]
                    random = np.random.default_rng(stream)
                    with self._writing():  # what waits in the unnamed file is written first
                        indices[os.path.basename(path)] = shard.write(path, random)
                    written.update()
        write_index(self._data_dir, indices)


def _blocks(encoder: Encoder, index: NDArray[Any]) -> list[Block]:
    """Encodes a chunk of records and compresses it in blocks."""
    records, bounds = encoder.encode(index)
    rows = encoder.num_rows(index)
    length = max(1, encoder.records_per_chunk // _BLOCKS_PER_CHUNK)
    found = []
    for first in range(0, len(index), length):
        last = min(first + length, len(index))
        found.append(compress(records[bounds[first] : bounds[last]], rows[first:last]))
    return found


class _Shard:
    """The blocks of a shard, waiting in a scratch file."""

    def __init__(self, scratch: IO[bytes]):
        self._scratch = scratch
        self._blocks: list[_Waiting] = []

    def append(self, block: Block) -> None:
        position = self._scratch.tell()
        self._scratch.write(block.data)
        self._blocks.append(
            _Waiting(position, len(block.data), block.checksum, block.num_bytes, block.rows)
        )

    def write(self, path: str, random: np.random.Generator) -> ShardIndex:
        """Writes the gzip file with the blocks in random order."""
        blocks = [self._blocks[number] for number in random.permutation(len(self._blocks))]
        checksums = np.array([block.checksum for block in blocks], np.uint32)
        sizes = np.array([block.num_bytes for block in blocks], np.int64)
        lengths = [block.length for block in blocks]
        checksum = np.zeros(1, np.uint32)
        with filesystem.open_binary(path, "wb") as file:
            file.write(GZIP_HEADER)
            for number, block in enumerate(blocks):
                self._scratch.seek(block.position)
                file.write(self._scratch.read(block.length))
                one = slice(number, number + 1)
                checksum = crc32().combine(checksum, checksums[one], sizes[one])
            file.write(gzip_trailer(int(checksum[0]), int(sizes.sum())))
        return ShardIndex(
            rows=np.concatenate([np.zeros(0, np.uint8), *(block.rows for block in blocks)]),
            offsets=np.cumsum([len(GZIP_HEADER), *lengths], dtype=np.int64),
            records=np.array([len(block.rows) for block in blocks], np.int64),
            checksums=checksums,
            sizes=sizes,
        )


class _Waiting(NamedTuple):
    """A block in the scratch file: `length` bytes at `position`; the rest as in `Block`."""

    position: int
    length: int
    checksum: int
    num_bytes: int
    rows: NDArray[Any]
