"""Order, batches and faults of reading a data set directory."""

import gzip
import pathlib
import shutil
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from input_pipeline import dataset
from input_pipeline.dataset import Examples, example_files, open_examples
from input_pipeline.spec import DatasetSpec
from tests.data_sets import write_small_data_set

READ = ("user_id", "item_id", "user_1hop", "user_neighbors_click", "user_neighbor_weights_click")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[pathlib.Path, DatasetSpec]:
    folder = tmp_path_factory.mktemp("data")
    return folder, write_small_data_set(str(folder))


@pytest.fixture
def copied(prepared, tmp_path) -> tuple[pathlib.Path, DatasetSpec]:
    """A data set that a test may damage."""
    shutil.copytree(prepared[0], tmp_path / "data")
    return tmp_path / "data", prepared[1]


def open_all(folder: pathlib.Path, spec: DatasetSpec, skip: int = 0) -> Examples:
    return open_examples(str(folder), spec, ["history", "train"], READ, skip_bad_records=skip)


def rows_of(batches: tf.data.Dataset) -> np.ndarray:
    """[N, 3]: user, item and label of every row, in order."""
    return np.concatenate(list(batches.as_numpy_iterator()))


def encode(parsed, number) -> tf.Tensor:
    columns = [tf.as_string(parsed["user_id"]), parsed["item_id"]]
    return tf.stack([*columns, tf.as_string(parsed["label_buy"])], axis=1)


def shuffled(examples: Examples, epoch: int = 0, seed: int = 0, batch_size: int = 64):
    return examples.shuffled_batches(
        batch_size, shuffle_rows=500, seed=seed, epoch=epoch, encode=encode
    )


def counted(rows: np.ndarray) -> dict[bytes, int]:
    joined = [b"|".join(row) for row in rows]
    return {row: joined.count(row) for row in set(joined)}


def test_ordered_batches_hold_every_row_once_in_a_fixed_order(prepared) -> None:
    folder, spec = prepared
    examples = open_all(folder, spec)
    batches = list(examples.ordered_batches(1000, encode=encode).as_numpy_iterator())
    total = spec.counts["rows"]["history"] + spec.counts["rows"]["train"]
    assert examples.num_rows == total == examples.count_rows()
    assert [len(batch) for batch in batches] == [1000] * (total // 1000) + [total % 1000]
    again = rows_of(examples.ordered_batches(77, encode=encode))
    np.testing.assert_array_equal(np.concatenate(batches), again)


def test_shuffled_batches_are_exact_and_hold_each_row_at_most_once(prepared) -> None:
    examples = open_all(*prepared)
    batches = list(shuffled(examples).as_numpy_iterator())
    assert {len(batch) for batch in batches} == {64}
    assert len(batches) == examples.num_rows // 64
    everything = counted(rows_of(examples.ordered_batches(1000, encode=encode)))
    seen = counted(np.concatenate(batches))
    assert all(count <= everything[row] for row, count in seen.items())


def test_order_depends_on_seed_and_epoch(prepared) -> None:
    examples = open_all(*prepared)
    first = rows_of(shuffled(examples, epoch=3))
    np.testing.assert_array_equal(first, rows_of(shuffled(examples, epoch=3)))
    assert np.mean(np.all(first == rows_of(shuffled(examples, epoch=4)), axis=1)) < 0.1
    assert np.mean(np.all(first == rows_of(shuffled(examples, epoch=3, seed=1)), axis=1)) < 0.1


def test_encode_is_told_the_number_of_the_batch(prepared) -> None:
    examples = open_all(*prepared)
    numbers = examples.ordered_batches(1000, encode=lambda parsed, number: number)
    count = -(-examples.num_rows // 1000)
    assert list(numbers.as_numpy_iterator()) == list(range(count))


def test_no_files_and_missing_shards_are_errors(copied) -> None:
    folder, spec = copied
    with pytest.raises(ValueError, match=r"no TFRecord files match .*nothing-\*\.tfrecord\.gz"):
        example_files(str(folder), ["nothing"])
    (folder / "examples/train-00001-of-00003.tfrecord.gz").unlink()
    with pytest.raises(ValueError, match="expected 3 shards, but number 1 is missing"):
        open_all(folder, spec)


def damage(path: pathlib.Path, change: Callable[[list[bytes]], None]) -> None:
    """Rewrites a shard with its list of records changed."""
    records = list(tf.data.TFRecordDataset(str(path), "GZIP").as_numpy_iterator())
    change(records)
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for record in records:
            writer.write(record)


def without(record: bytes, *names: str) -> bytes:
    example = tf.train.Example.FromString(record)
    for name in names:
        del example.features.feature[name]
    return example.SerializeToString()


def read(examples: Examples) -> np.ndarray:
    with examples.explained():
        return rows_of(examples.ordered_batches(256, encode=encode))


FAULTS = {
    r"record 1100 \(counting from 0\): not a tf.train.Example \(2 bytes\)": lambda r: b"\xff\xff",
    r"record 1100 .*'user_1hop': expected 5 float values, found none": lambda r: without(
        r, "user_1hop"
    ),
    r"record 1100 .*'user_neighbors_click': expected at most 6 bytes": lambda r: without(
        r, "user_neighbors_click"
    ),
}


@pytest.mark.parametrize("message", FAULTS)
def test_a_bad_record_is_named_or_skipped(copied, message: str) -> None:
    folder, spec = copied
    good = read(open_all(folder, spec))
    path = folder / "examples/train-00001-of-00003.tfrecord.gz"

    def change(records: list[bytes]) -> None:
        # a row with neighbours, so that the lost list shows
        place = next(i for i, r in enumerate(records) if b"item" in r.split(b"user_neighbors")[1])
        records[1100], records[place] = FAULTS[message](records[place]), records[1100]

    damage(path, change)
    with pytest.raises(ValueError, match=rf"train-00001-of-00003\.tfrecord\.gz: {message}"):
        read(open_all(folder, spec))
    with pytest.raises(ValueError, match="00003"), open_all(folder, spec).explained():
        rows_of(shuffled(open_all(folder, spec)))
    examples = open_all(folder, spec, skip=1)
    assert [bad.index for bad in examples.bad_records] == [1100]
    assert len(read(examples)) == len(good) - 1
    assert len(rows_of(shuffled(examples))) == (len(good) - 1) // 64 * 64


def test_more_bad_records_than_allowed_are_an_error(copied, caplog) -> None:
    folder, spec = copied
    path = folder / "examples/history-00000-of-00003.tfrecord.gz"

    def change(records: list[bytes]) -> None:
        records[3] = records[5] = records[8] = b"\xff"

    damage(path, change)
    assert len(open_all(folder, spec, skip=3).bad_records) == 3
    assert "3 of 6159 rows in history and train are left out; the first: " in caplog.text
    with pytest.raises(
        ValueError, match=r"more than --skip_bad_records=2 bad records: .* record 8"
    ):
        open_all(folder, spec, skip=2)


def test_a_list_left_out_of_every_row_is_found_at_once(copied) -> None:
    folder, spec = copied
    names = ("user_neighbors_click", "user_neighbor_weights_click")

    def change(records: list[bytes]) -> None:
        records[:] = [without(record, *names) for record in records]

    damage(folder / "examples/train-00002-of-00003.tfrecord.gz", change)
    with pytest.raises(ValueError, match=r"train-00002.* record 0 .*user_neighbors_click"):
        open_all(folder, spec)


def test_a_truncated_file_is_named_with_its_record(copied) -> None:
    folder, spec = copied
    path = folder / "examples/train-00000-of-00003.tfrecord.gz"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"train-00000.*record [1-9]\d* .*truncated or damaged"):
        read(open_all(folder, spec))
    examples = open_all(folder, spec, skip=1)
    assert not examples.bad_records[0].is_readable
    assert len(read(examples)) == examples.num_rows > 1000


def test_a_wrong_checksum_is_named_with_its_record(copied) -> None:
    folder, spec = copied
    path = folder / "examples/train-00000-of-00003.tfrecord.gz"
    content = bytearray(gzip.decompress(path.read_bytes()))
    # a record: 8 bytes length, 4 checksum, the row, 4 checksum; damage record 1's first byte
    start = int.from_bytes(content[:8], "little") + 16
    content[start + 12] ^= 1
    path.write_bytes(gzip.compress(bytes(content)))
    with pytest.raises(ValueError, match=r"train-00000.*record 1 .*truncated or damaged"):
        read(open_all(folder, spec))


def test_a_file_cut_off_between_records_is_noticed(copied) -> None:
    folder, spec = copied
    damage(
        folder / "examples/train-00000-of-00003.tfrecord.gz",
        lambda r: r.__delitem__(slice(-200, None)),
    )
    examples = open_all(folder, spec)
    message = (
        f"expected {examples.num_rows} rows as the spec tells, found {examples.num_rows - 200}"
    )
    with pytest.raises(ValueError, match=message), examples.explained():
        rows_of(shuffled(examples))


def test_block_sizes_do_not_change_what_is_read(prepared, monkeypatch) -> None:
    examples = open_all(*prepared)
    monkeypatch.setattr(dataset, "_OPEN_FILES", 2)
    assert len(rows_of(shuffled(examples))) == examples.num_rows // 64 * 64
