"""Requests hold the rows that examples hold, as an independent parser reads them."""

import collections
import itertools

import numpy as np
import pytest
import tensorflow as tf

from input_pipeline.files import filesystem
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.records import shards as tfrecords
from input_pipeline.records.example_rows import first_examples
from input_pipeline.records.request_encoder import group_requests
from input_pipeline.report import data_report as report
from input_pipeline.spec import MAX_CANDIDATES, RECORD_LAYOUTS, DatasetSpec
from tests.input_pipeline.logs import event_log, random_lines, write_log
from tests.packed_records import spelt_out

NUM_SHARDS = 2
SPLITS = ("history", "train", "validation", "test")


@pytest.fixture(autouse=True)
def _no_figures(monkeypatch) -> None:
    monkeypatch.setattr(report, "render", lambda *_: "")


def write(lines, data_dir, layout: str, **flags) -> DatasetSpec:
    options = PreparationOptions(
        source="taobao",
        data_dir=str(data_dir),
        record_layout=layout,
        **{
            "cuts": (0.3, 0.5, 0.7, 0.85),
            "num_user_macro_nodes": 3,
            "num_item_macro_nodes": 4,
            "max_neighbors": 5,
            "num_shards": NUM_SHARDS,
            "negatives": 2,
            **flags,
        },
    )
    return write_log(event_log(lines), options, str(data_dir))


def records(data_dir, split: str) -> list[bytes]:
    """Serialized records; TensorFlow verifies the checksums on the way."""
    paths = [tfrecords.shard_path(str(data_dir), split, n, NUM_SHARDS) for n in range(NUM_SHARDS)]
    return list(tf.data.TFRecordDataset(paths, "GZIP").as_numpy_iterator())


def values_of(feature: tf.train.Feature) -> tuple:
    """Kind and values."""
    kind = feature.WhichOneof("kind")
    return kind, tuple(getattr(feature, kind).value)


def rows_of_example(record: bytes) -> list[frozenset]:
    features = tf.train.Example.FromString(record).features.feature
    return [frozenset((name, values_of(feature)) for name, feature in features.items())]


def rows_of_request(record: bytes, spec: DatasetSpec) -> list[frozenset]:
    """Every row with the features of the user, as an example would hold it."""
    user, rows = spelt_out(record, spec.features)
    assert 1 <= len(rows) <= MAX_CANDIDATES
    kinds = {feature.name: f"{feature.dtype}_list" for feature in spec.features}
    return [
        frozenset(
            (name, (kinds[name], tuple(values)))
            for name, values in {**user, **row}.items()
            if not (name.startswith("label_") and values == [-1.0])
        )
        for row in rows
    ]


LOGS = {
    "pairs": (random_lines(0, num_lines=400, users=5), {}),
    "pairs with byte ids": (random_lines(1, clock=20, bytes_ids=True), {}),
    "events": (random_lines(3), {"rows": "events"}),
    "exposures without some labels": (random_lines(4, exposures=True, unlabeled=True), {}),
    "without a clock": (random_lines(6, clock=None), {"cuts": (0.4, 0.7, 0.85), "rows": "pairs"}),
}


@pytest.mark.parametrize("log", LOGS)
def test_both_layouts_hold_the_same_rows(log: str, tmp_path) -> None:
    lines, flags = LOGS[log]
    flat = write(lines, tmp_path / "flat", "example", **flags)
    grouped = write(lines, tmp_path / "grouped", "request", **flags)
    assert flat.counts == grouped.counts
    assert flat.fingerprint() == grouped.fingerprint()
    for split in SPLITS:
        examples = [row for r in records(tmp_path / "flat", split) for row in rows_of_example(r)]
        requests = [
            row for r in records(tmp_path / "grouped", split) for row in rows_of_request(r, grouped)
        ]
        assert len(examples) == len(requests) == flat.counts["rows"][split]
        assert collections.Counter(examples) == collections.Counter(requests)


def test_first_examples_are_rows_in_either_layout(tmp_path) -> None:
    lines, flags = LOGS["exposures without some labels"]
    for layout in RECORD_LAYOUTS:
        spec = write(lines, tmp_path / layout, layout, **flags)
        count = spec.counts["rows"]["test"]
        rows = first_examples(str(tmp_path / layout), "test", count + 5).numpy()
        found = collections.Counter(row for r in rows for row in rows_of_example(r))
        stored = [row for r in records(tmp_path / "example", "test") for row in rows_of_example(r)]
        assert found == collections.Counter(stored)
        assert len(first_examples(str(tmp_path / layout), "test", count - 1)) == count - 1
    with pytest.raises(ValueError, match=r"no TFRecord files match .*nothing-"):
        first_examples(str(tmp_path / "example"), "nothing", 1)


def test_numbers_and_lists_lie_side_by_side(tmp_path) -> None:
    spec = write(random_lines(0), tmp_path, "request")
    assert spec.record_packing["rows_float"] == [
        "item_1hop", "item_2hop", "label_click", "label_fav", "label_cart", "label_buy",
    ]  # fmt: skip
    record = records(tmp_path, "train")[0]
    found = tf.io.parse_single_example(
        record,
        {
            "user_float": tf.io.FixedLenFeature([4 + 3 + 4 * 4], tf.float32),
            "rows_float": tf.io.FixedLenSequenceFeature([3 + 4 + 4], tf.float32, True),
            "rows_int64": tf.io.FixedLenSequenceFeature([5], tf.int64, True),
        },
    )
    rows = [dict(row) for row in rows_of_request(record, spec)]
    np.testing.assert_array_equal(found["user_float"][:4], rows[0]["user_1hop"][1])
    np.testing.assert_array_equal(
        found["rows_float"][:, 3:7], [row["item_2hop"][1] for row in rows]
    )
    np.testing.assert_array_equal(found["rows_float"][:, 10:], [r["label_buy"][1] for r in rows])
    np.testing.assert_array_equal(found["rows_int64"][:, :1], [row["item_id"][1] for row in rows])
    np.testing.assert_array_equal(found["rows_int64"][:, 4:], [r["timestamp"][1] for r in rows])


def test_the_bytes_do_not_depend_on_the_number_of_workers(tmp_path) -> None:
    lines = random_lines(9)
    write(lines, tmp_path / "one", "request", num_workers=1)
    write(lines, tmp_path / "three", "request", num_workers=3)
    for split in SPLITS:
        for shard in range(NUM_SHARDS):
            one, three = (
                filesystem.read_bytes(
                    tfrecords.shard_path(str(tmp_path / name), split, shard, NUM_SHARDS)
                )
                for name in ("one", "three")
            )
            assert one == three


def test_rows_of_a_user_are_dealt_out_at_random() -> None:
    user = np.repeat([4, 7, 9], [70, 32, 1]).astype(np.int32)
    user = np.random.default_rng(5).permutation(user)
    order, bounds = group_requests(user, np.random.default_rng(0))
    assert sorted(order) == list(range(103))
    groups = [order[a:b] for a, b in itertools.pairwise(bounds)]
    assert [len(group) for group in groups] == [32, 32, 6, 32, 1]
    assert [set(user[group]) for group in groups] == [{4}, {4}, {4}, {7}, {9}]
    assert any(np.diff(group).min() < 0 for group in groups)
    again, _ = group_requests(user, np.random.default_rng(1))
    assert not np.array_equal(order, again)
