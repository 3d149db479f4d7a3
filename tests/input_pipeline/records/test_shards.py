import gzip
import os

import numpy as np
import pytest

from input_pipeline.records import shards as tfrecords
from input_pipeline.records.shard_index import read_index


class Numbers:
    """Four bytes a record, which are its number from `start` on."""

    records_per_chunk = 40

    def __init__(self, count, start=0):
        self.count, self.start = count, start

    def __len__(self):
        return self.count

    def encode(self, index):
        return (index + self.start).astype("<u4").view(np.uint8), 4 * np.arange(len(index) + 1)

    def num_rows(self, index):
        return (1 + index % 3).astype(np.uint8)


def write(folder, seed=0, num_workers=2):
    os.makedirs(folder / "examples")
    with tfrecords.ShardWriter(str(folder), 3, num_workers, seed) as writer:
        writer.add("train", Numbers(95))
        writer.add("train", Numbers(20, start=1000))
        writer.add("test", Numbers(1))
        writer.finish()
    shards = {}
    for split in ("train", "test"):
        for number in range(3):
            path = tfrecords.shard_path(str(folder), split, number, 3)
            with gzip.open(path) as file:  # Python's reader checks CRC and length.
                shards[split, number] = np.frombuffer(file.read(), "<u4").tolist()
    return shards


def test_every_row_is_in_one_shard_and_windows_are_mixed(tmp_path):
    shards = write(tmp_path)
    train = [row for number in range(3) for row in shards["train", number]]
    assert sorted(train) == [*range(95), *range(1000, 1020)]
    assert [len(shards["train", n]) for n in range(3)] == [32 + 7, 32 + 7, 31 + 6]
    assert [row for n in range(3) for row in shards["test", n]] == [
        0
    ]  # Two shards are empty files.
    # Blocks of the second call do not all come last.
    positions = [p for n in range(3) for p, row in enumerate(shards["train", n]) if row >= 1000]
    assert min(positions) < 30


def test_order_depends_on_the_seed_alone(tmp_path):
    one = write(tmp_path / "one", num_workers=1)
    assert one == write(tmp_path / "four", num_workers=4)
    assert one != write(tmp_path / "other", seed=1)


def test_an_error_in_a_worker_is_raised(tmp_path):
    class Failing(Numbers):
        def encode(self, index):
            raise RuntimeError("no encoding")

    with (
        pytest.raises(RuntimeError, match="no encoding"),
        tfrecords.ShardWriter(str(tmp_path), 1, 2, 0) as writer,
    ):
        writer.add("train", Failing(5))


def test_the_index_tells_rows_and_where_reading_can_begin(tmp_path):
    shards = write(tmp_path)
    index = read_index(str(tmp_path))
    assert len(index) == 6
    for number in range(3):
        path = tfrecords.shard_path(str(tmp_path), "train", number, 3)
        of_shard, records = index[os.path.basename(path)], shards["train", number]
        # of the second call, records 1000 and up are its 0 and up
        expected = [1 + (record % 1000) % 3 for record in records]
        assert of_shard.rows.tolist() == expected
        assert of_shard.records.sum() == len(records)
        for first in (0, 1, len(records) // 2, len(records) - 1):
            target = str(tmp_path / "tail.gz")
            dropped = of_shard.copy_tail(path, first, target)
            assert 0 <= dropped < 10
            with gzip.open(target) as file:
                tail = np.frombuffer(file.read(), "<u4").tolist()
            assert tail[dropped:] == records[first:]
    with open(path, "ab") as file:
        file.write(b"x")
    with pytest.raises(ValueError, match=r"expected \d+ bytes as the index tells, got \d+"):
        of_shard.copy_tail(path, 3, target)
