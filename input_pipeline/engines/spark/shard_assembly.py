"""Compressed blocks to shards, each by a task, and the index of all."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from input_pipeline.engines.spark.array_file import ArrayFile, write_npz
from input_pipeline.engines.spark.plan import Plan
from input_pipeline.engines.spark.workspace import Workspace
from input_pipeline.log.windows import STREAM_SHARDS, split_of
from input_pipeline.records.crc import crc32
from input_pipeline.records.shard_index import GZIP_HEADER, ShardIndex, gzip_trailer
from input_pipeline.records.shards import shard_path
from input_pipeline.spec import WINDOWS


@dataclasses.dataclass(frozen=True)
class _Shard:
    """A shard that is to be put together of files of blocks."""

    split: str
    number: int
    files: tuple[str, ...]


def assemble(plan: Plan, work: Workspace) -> None:
    """Writes `examples/`."""
    num_windows = plan.windows.num_windows
    found: dict[tuple[str, int], list[str]] = {
        (split, shard): [] for split in WINDOWS for shard in range(plan.options.num_shards)
    }
    for window in range(num_windows):
        folder = plan.path("blocks", str(window))
        names = sorted(name for name in os.listdir(folder) if name.isdigit())
        per_shard = _buckets_of_shard(folder)
        for name in names:
            key = split_of(window, num_windows), int(name) // per_shard
            found[key].append(os.path.join(folder, name))
    shards = [_Shard(split, shard, tuple(files)) for (split, shard), files in found.items()]
    work.path("shard_rows", "")
    indices = work.run(functools.partial(_write, plan), shards)
    arrays: dict[str, Any] = {}
    for shard, index in zip(shards, indices, strict=True):
        name = os.path.basename(_path(plan, shard))
        for field in dataclasses.fields(ShardIndex):
            values = getattr(index, field.name)
            if field.name == "rows":
                file = ArrayFile(_rows_path(plan, shard))
                arrays[f"{name}/rows"] = (np.uint8, file.shape, _blocks(file))
            else:
                arrays[f"{name}/{field.name}"] = (values.dtype, values.shape, [values])
    path = os.path.join(plan.data_dir, "examples", "index.npz")
    write_npz(path, arrays, compressed=True)


def save_buckets(plan: Plan, window: int, per_shard: int) -> None:
    """Notes how many files a window's shards are made of."""
    with open(plan.path("blocks", str(window), "per_shard"), "w") as file:
        file.write(str(per_shard))


def _buckets_of_shard(folder: str) -> int:
    with open(os.path.join(folder, "per_shard")) as file:
        return int(file.read())


def _blocks(file: ArrayFile) -> Iterator[NDArray[Any]]:
    for _, block in file.blocks():
        yield block


def _path(plan: Plan, shard: _Shard) -> str:
    return shard_path(plan.data_dir, shard.split, shard.number, plan.options.num_shards)


def _rows_path(plan: Plan, shard: _Shard) -> str:
    return plan.path("shard_rows", f"{shard.split}-{shard.number}.npy")


def _write(plan: Plan, shard: _Shard) -> ShardIndex:
    """Writes a shard with its blocks in seeded order; its index, rows apart."""
    indices = [dict(np.load(f"{file}.npz")) for file in shard.files]
    told = {
        name: np.concatenate([np.zeros(0, dtype), *(index[name] for index in indices)])
        for name, dtype in (
            ("lengths", np.int64),
            ("checksums", np.uint32),
            ("sizes", np.int64),
            ("records", np.int64),
            ("rows", np.uint8),
        )
    }
    of_file = np.repeat(np.arange(len(indices)), [len(index["lengths"]) for index in indices])
    starts = [np.cumsum(index["lengths"]) - index["lengths"] for index in indices]
    start = np.concatenate([np.zeros(0, np.int64), *starts])
    stream = [plan.options.seed, STREAM_SHARDS, WINDOWS.index(shard.split), shard.number]
    order = np.random.default_rng(stream).permutation(len(start))
    first_row = np.cumsum(told["records"]) - told["records"]
    rows = [told["rows"][first_row[n] : first_row[n] + told["records"][n]] for n in order]
    np.save(_rows_path(plan, shard), np.concatenate([np.zeros(0, np.uint8), *rows]))
    checksum = np.zeros(1, np.uint32)
    path = _path(plan, shard)
    files = [open(file, "rb") for file in shard.files]
    try:
        with open(f"{path}.{os.getpid()}", "wb") as target:
            target.write(GZIP_HEADER)
            for number in order:
                source = files[of_file[number]]
                source.seek(start[number])
                target.write(source.read(told["lengths"][number]))
                one = slice(number, number + 1)
                checksum = crc32().combine(checksum, told["checksums"][one], told["sizes"][one])
            target.write(gzip_trailer(int(checksum[0]), int(told["sizes"].sum())))
    finally:
        for file in files:
            file.close()
    os.replace(f"{path}.{os.getpid()}", path)
    return ShardIndex(
        rows=np.zeros(0, np.uint8),
        offsets=np.cumsum([len(GZIP_HEADER), *told["lengths"][order]], dtype=np.int64),
        records=told["records"][order],
        checksums=told["checksums"][order],
        sizes=told["sizes"][order],
    )
