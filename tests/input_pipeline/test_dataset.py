"""Order, batches and faults of reading a data set directory."""

import collections
import dataclasses
import gzip
import pathlib
import re
import shutil
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from input_pipeline import dataset
from input_pipeline.dataset import Examples, open_examples
from input_pipeline.records.shard_files import example_files
from input_pipeline.spec import MAX_CANDIDATES, RECORD_LAYOUTS, DatasetSpec
from tests.data_sets import write_small_data_set
from tests.packed_records import spelt_out

READ = ("user_id", "item_id", "user_1hop", "user_neighbors_click", "user_neighbor_weights_click")


@pytest.fixture(scope="module", params=RECORD_LAYOUTS)
def prepared(request, tmp_path_factory) -> tuple[pathlib.Path, DatasetSpec]:
    folder = tmp_path_factory.mktemp("data")
    return folder, write_small_data_set(str(folder), record_layout=request.param)


@pytest.fixture
def copied(prepared, tmp_path) -> tuple[pathlib.Path, DatasetSpec]:
    """A data set that a test may damage."""
    shutil.copytree(prepared[0], tmp_path / "data")
    return tmp_path / "data", prepared[1]


def open_all(folder: pathlib.Path, spec: DatasetSpec, skip: int = 0) -> Examples:
    return open_examples(str(folder), spec, ["history", "train"], READ, skip_bad_records=skip)


def rows_of_batch(batch: dict[str, np.ndarray]) -> np.ndarray:
    """[B, 3]: user, item and label of every row."""
    users = batch["user_id"]
    users = users[batch["user_row"]] if "user_row" in batch else users
    return np.array(list(zip(users, batch["item_id"], batch["label_buy"], strict=True)), object)


def rows_of(batches: tf.data.Dataset) -> np.ndarray:
    """[N, 3]: the same of all batches, in order."""
    return np.concatenate([rows_of_batch(batch) for batch in batches.as_numpy_iterator()])


def ordered(examples: Examples, batch_size: int = 1000) -> tf.data.Dataset:
    return examples.ordered_batches(batch_size, encode=dict)


def shuffled(
    examples: Examples, epoch: int = 0, seed: int = 0, batch_size: int = 64, **options
) -> tf.data.Dataset:
    return examples.shuffled_batches(
        batch_size, seed=seed, epoch=epoch, encode=dict, **{"shuffle_rows": 500, **options}
    )


def counted(rows: np.ndarray) -> collections.Counter:
    return collections.Counter(map(tuple, rows))


def test_ordered_batches_hold_every_row_once_in_a_fixed_order(prepared) -> None:
    folder, spec = prepared
    examples = open_all(folder, spec)
    batches = [rows_of_batch(batch) for batch in ordered(examples).as_numpy_iterator()]
    total = spec.counts["rows"]["history"] + spec.counts["rows"]["train"]
    assert examples.num_rows == total == sum(map(len, batches))
    assert max(map(len, batches)) <= 1000
    again = rows_of(ordered(examples, batch_size=77))
    np.testing.assert_array_equal(np.concatenate(batches), again)


@pytest.mark.parametrize("prepared", ["example"], indirect=True)
def test_ordered_batches_of_examples_are_full(prepared) -> None:
    examples = open_all(*prepared)
    sizes = [len(rows_of_batch(batch)) for batch in ordered(examples).as_numpy_iterator()]
    assert sizes == [1000] * (examples.num_rows // 1000) + [examples.num_rows % 1000]


@pytest.mark.parametrize("batch_size", [64, 1000])
def test_shuffled_batches_are_exact_and_hold_each_row_at_most_once(prepared, batch_size) -> None:
    examples = open_all(*prepared)
    batches = shuffled(examples, batch_size=batch_size)
    sizes = [len(rows_of_batch(batch)) for batch in batches.as_numpy_iterator()]
    assert sizes == [batch_size] * (examples.num_rows // batch_size)
    seen, everything = counted(rows_of(batches)), counted(rows_of(ordered(examples)))
    assert seen.total() == len(sizes) * batch_size
    assert seen <= everything
    for name, spec in batches.element_spec.items():
        by_user = prepared[1].record_layout == "request" and name.startswith("user_")
        assert spec.shape[0] == (None if by_user and name != "user_row" else batch_size)


@pytest.mark.parametrize("prepared", ["request"], indirect=True)
def test_a_batch_holds_each_request_once_and_part_of_its_rows(prepared) -> None:
    largest = []
    for batch in shuffled(open_all(*prepared), batch_size=256).as_numpy_iterator():
        rows = np.bincount(batch["user_row"])
        assert rows.min() > 0
        assert len(rows) == len(batch["user_id"]) == len(batch["user_1hop"]) < 256 / 2
        largest.append(rows.max())
    assert np.mean(largest) < MAX_CANDIDATES / 2


def test_every_epoch_draws_the_rows_that_it_leaves_out(prepared) -> None:
    examples = open_all(*prepared)
    everything = counted(rows_of(ordered(examples)))
    left_out = [everything - counted(rows_of(shuffled(examples, epoch=e))) for e in (0, 1)]
    assert [rows.total() for rows in left_out] == [examples.num_rows % 64] * 2
    assert left_out[0] != left_out[1]


def test_order_depends_on_seed_and_epoch(prepared) -> None:
    examples = open_all(*prepared)
    first = rows_of(shuffled(examples, epoch=3))
    np.testing.assert_array_equal(first, rows_of(shuffled(examples, epoch=3)))
    assert np.mean(np.all(first == rows_of(shuffled(examples, epoch=4)), axis=1)) < 0.1
    assert np.mean(np.all(first == rows_of(shuffled(examples, epoch=3, seed=1)), axis=1)) < 0.1


def test_encoded_columns_of_a_user_go_with_the_user(prepared) -> None:
    def encode(columns):
        neighbors = columns["user_neighbors_click"]
        lengths = neighbors.with_flat_values(tf.strings.length(neighbors.flat_values))
        return {**columns, "user_neighbors_click/length": lengths}

    batches = open_all(*prepared).shuffled_batches(
        128, shuffle_rows=500, seed=0, epoch=0, encode=encode
    )
    for batch in batches.take(3).as_numpy_iterator():
        lengths = np.vectorize(len)(batch["user_neighbors_click"])
        np.testing.assert_array_equal(batch["user_neighbors_click/length"], lengths)
        assert lengths.shape == (len(batch["user_id"]), 6)


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


def without(record: bytes, spec: DatasetSpec, *names: str) -> bytes:
    message, features = parsed(record, spec)
    for name in names:
        del features[name]
    return message.SerializeToString()


def parsed(record: bytes, spec: DatasetSpec):
    """The message and its features."""
    example = tf.train.Example.FromString(record)
    return example, example.features.feature


def num_rows(record: bytes, spec: DatasetSpec) -> int:
    return 1 if spec.record_layout == "example" else len(spelt_out(record, spec.features)[1])


def holders(spec: DatasetSpec, *names: str) -> list[str]:
    """Which features of a record hold some features, the last one the values."""
    if spec.record_layout == "example":
        return list(names)
    return [key for key, held in spec.record_packing.items() if set(names) & set(held)]


def records_of(path: pathlib.Path) -> list[bytes]:
    return list(tf.data.TFRecordDataset(str(path), "GZIP").as_numpy_iterator())


def read(examples: Examples) -> np.ndarray:
    with examples.explained():
        return rows_of(ordered(examples, 256))


FAULTS = {
    r"not a tf.train.Example \(2 bytes\)": lambda r, spec: b"\xff\xff",
    r"feature '(user_1hop|user_float).*: expected \d+ float values, found none": (
        lambda r, spec: without(r, spec, *holders(spec, "user_1hop"))
    ),
    r"feature '(user_neighbors_click|user_bytes_lists).*: expected .*\d+ bytes": (
        lambda r, spec: without(r, spec, holders(spec, "user_neighbors_click")[-1])
    ),
}


@pytest.mark.parametrize("message", FAULTS)
def test_a_bad_record_is_named_or_skipped(copied, message: str) -> None:
    folder, spec = copied
    good = read(open_all(folder, spec))
    path = folder / "examples/train-00001-of-00003.tfrecord.gz"
    records = records_of(path)
    # the last row with neighbours, so that the lost list shows
    index = max(
        i
        for i, record in enumerate(records)
        if parsed(record, spec)[1][holders(spec, "user_neighbors_click")[-1]].bytes_list.value
    )
    lost = num_rows(records[index], spec)
    damage(path, lambda records: records.__setitem__(index, FAULTS[message](records[index], spec)))
    with pytest.raises(
        ValueError, match=rf"train-00001-of-00003\.tfrecord\.gz: record {index} .*{message}"
    ):
        read(open_all(folder, spec))
    with pytest.raises(ValueError, match="00003"), open_all(folder, spec).explained():
        rows_of(shuffled(open_all(folder, spec)))
    examples = open_all(folder, spec, skip=1)
    assert [bad.index for bad in examples.bad_records] == [index]
    assert examples.num_rows == len(read(examples)) == len(good) - lost
    assert len(rows_of(shuffled(examples))) == (len(good) - lost) // 64 * 64


def test_more_bad_records_than_allowed_are_an_error(copied, caplog) -> None:
    folder, spec = copied
    path = folder / "examples/history-00000-of-00003.tfrecord.gz"

    def change(records: list[bytes]) -> None:
        records[3] = records[5] = records[8] = b"\xff"

    lost = sum(num_rows(records_of(path)[i], spec) for i in (3, 5, 8))
    damage(path, change)
    assert len(open_all(folder, spec, skip=3).bad_records) == 3
    message = f"{lost} of 6159 rows in history and train are left out; the first: "
    assert message in caplog.text
    with pytest.raises(
        ValueError, match=r"more than --skip_bad_records=2 bad records: .* record 8"
    ):
        open_all(folder, spec, skip=2)


def test_a_list_left_out_of_every_row_is_found_at_once(copied) -> None:
    folder, spec = copied
    names = holders(spec, "user_neighbors_click", "user_neighbor_weights_click")

    def change(records: list[bytes]) -> None:
        records[:] = [without(record, spec, *names) for record in records]

    damage(folder / "examples/train-00002-of-00003.tfrecord.gz", change)
    with pytest.raises(ValueError, match=r"train-00002.* record 0 .*user_neighbors_click"):
        open_all(folder, spec)


def within_the_last_block(content: bytes) -> int:
    """A place where a cut tears a compressed block, and not two of them apart."""
    ends = [match.end() for match in re.finditer(rb"\0\0\xff\xff", content)]
    return ([10, *ends][-2] + ends[-1]) // 2  # 10 bytes of header


def test_a_truncated_file_is_named_with_its_record(copied) -> None:
    folder, spec = copied
    path = folder / "examples/train-00000-of-00003.tfrecord.gz"
    content = path.read_bytes()
    path.write_bytes(content[: within_the_last_block(content)])
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
    path = folder / "examples/train-00000-of-00003.tfrecord.gz"
    count, lost = len(records_of(path)), 20
    damage(path, lambda records: records.__delitem__(slice(-20, None)))
    examples = open_all(folder, spec)
    message = rf"train-00000.*: expected {count} records as the index tells, found {count - lost}: "
    for batches in (shuffled(examples), ordered(examples)):
        with pytest.raises(ValueError, match=message), examples.explained():
            rows_of(batches)


def test_a_file_that_lost_less_than_the_remainder_of_an_epoch_is_noticed(copied) -> None:
    folder, spec = copied
    examples = open_all(folder, spec)
    damage(folder / "examples/train-00000-of-00003.tfrecord.gz", list.pop)
    assert examples.num_rows % 3000 > MAX_CANDIDATES
    with pytest.raises(ValueError, match="as the index tells, found"), examples.explained():
        rows_of(shuffled(examples, batch_size=3000))


def test_shards_without_an_index_or_of_another_one_are_refused(copied) -> None:
    folder, spec = copied
    counts = {**spec.counts, "rows": {**spec.counts["rows"], "train": 7}}
    with pytest.raises(
        ValueError, match=r"expected \d+ rows in history and train as the spec tells"
    ):
        open_all(folder, dataclasses.replace(spec, counts=counts))
    (folder / "examples/index.npz").unlink()
    with pytest.raises(
        ValueError, match=r"its shards have no index, expected .*index\.npz: prepare"
    ):
        open_all(folder, spec)


@pytest.mark.parametrize(("shuffle_rows", "batch_size"), [(1, 200), (200, 64), (100_000, 200)])
def test_reading_can_begin_at_any_batch(prepared, tmp_path, shuffle_rows, batch_size) -> None:
    examples = open_all(*prepared)
    options = {"batch_size": batch_size, "shuffle_rows": shuffle_rows, "epoch": 2}
    whole = list(shuffled(examples, **options).as_numpy_iterator())
    rng = np.random.default_rng(0)
    for first in (1, *rng.integers(2, len(whole), 3).tolist(), len(whole) - 1):
        scratch = tmp_path / str(first)
        scratch.mkdir()
        for folder in (None, str(scratch)):
            batches = shuffled(examples, first_batch=first, scratch=folder, **options)
            found = list(batches.as_numpy_iterator())
            assert len(found) == len(whole) - first
            for one, other in zip(found, whole[first:], strict=True):
                assert set(one) == set(other)
                for name, value in one.items():
                    np.testing.assert_array_equal(value, other[name], err_msg=name)
    for outside in (-1, len(whole)):
        with pytest.raises(ValueError, match=rf"first_batch: must be in \[0, {len(whole)}\), got"):
            shuffled(examples, first_batch=outside, **options)


def test_reading_begins_in_the_middle_where_records_are_left_out(copied, tmp_path) -> None:
    folder, spec = copied

    def change(records: list[bytes]) -> None:
        for index in (1, len(records) // 2, len(records) - 1):
            records[index] = b"\xff"

    damage(folder / "examples/train-00001-of-00003.tfrecord.gz", change)
    cut = folder / "examples/history-00002-of-00003.tfrecord.gz"
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    examples = open_all(folder, spec, skip=4)
    assert len(examples.bad_records) == 4
    whole = rows_of(shuffled(examples))
    for first in (1, 40, examples.num_rows // 64 - 1):
        found = rows_of(shuffled(examples, first_batch=first))
        np.testing.assert_array_equal(found, whole[first * 64 :])


def test_the_order_depends_on_neither_the_global_seed_nor_the_threads(prepared) -> None:
    examples = open_all(*prepared)
    first = rows_of(shuffled(examples))
    for seed in (0, 1):
        tf.random.set_seed(seed)
        np.testing.assert_array_equal(rows_of(shuffled(examples)), first)


def test_block_sizes_do_not_change_what_is_read(prepared, monkeypatch) -> None:
    examples = open_all(*prepared)
    monkeypatch.setattr(dataset, "_SHARDS_PER_SLOT", 1)
    layout = dataclasses.replace(examples.layout, records_per_block=100)
    examples = dataclasses.replace(examples, layout=layout)
    assert counted(rows_of(shuffled(examples))) <= counted(rows_of(ordered(examples)))
    assert len(rows_of(shuffled(examples))) == examples.num_rows // 64 * 64
