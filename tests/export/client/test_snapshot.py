"""The join of ids with the graph, against the rows that preparation wrote."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from export.client.snapshot import GraphSnapshot
from input_pipeline.records.example_parsing import parse_examples


@pytest.fixture(scope="module")
def snapshot(run):
    return GraphSnapshot(run.data_dir)


def test_features_are_those_of_the_training_rows(run):
    """Rows of the test window read the graph at the last cut, here the eighth."""
    snapshot = GraphSnapshot(run.data_dir, "8")
    files = sorted(map(str, Path(run.data_dir).glob("examples/test-*.tfrecord.gz")))
    serialized = next(iter(tf.data.TFRecordDataset(files, "GZIP").batch(500)))
    features = snapshot.spec.input_features
    parsed = {k: v.numpy() for k, v in parse_examples(serialized, features).items()}
    assert len(parsed["user_id"]) > 50
    for owner in ("user", "item"):
        ids = parsed[f"{owner}_id"]
        names = [feature.name for feature in features]
        joined = snapshot.features(owner, ids, names)
        assert set(joined) == {f.name for f in snapshot.spec.select(owner)}
        known = snapshot.rows(owner, ids) >= 0
        for name, values in joined.items():
            rows = known if name in snapshot.spec.side_columns(owner) else slice(None)
            np.testing.assert_array_equal(values[rows], parsed[name][rows], err_msg=name)
            assert values.dtype == parsed[name].dtype
    assert (parsed["user_1hop"] > 0).any()
    assert (parsed["item_neighbor_weights_buy"] > 0).any()


def test_unknown_ids_are_cold(snapshot):
    names = [feature.name for feature in snapshot.spec.input_features]
    cold = snapshot.features("item", np.array([-1, 2**62]), names)
    assert cold["item_macro"].tolist() == [-1, -1]
    assert cold["item_id"].tolist() == [-1, 2**62]
    assert cold["kind"].tolist() == [-(2**63)] * 2  # no kind of the log
    for name in ("item_1hop", "item_2hop", "item_neighbor_weights_buy"):
        assert not cold[name].any()
    assert cold["item_neighbors_buy"].tolist() == [[b""] * 5] * 2
    cold = snapshot.features("user", np.array([b"nobody"], object), names)
    assert cold["age"].tolist() == [b""]
    assert cold["task_table"].shape == (1, 8)
    assert not cold["task_table"].any()


def test_rows_find_every_known_id(snapshot):
    for owner in ("user", "item"):
        ids = snapshot.known_ids(owner)
        np.testing.assert_array_equal(snapshot.rows(owner, ids), np.arange(len(ids)))


def test_an_id_beyond_an_early_graph_is_unknown_to_it(run):
    early = GraphSnapshot(run.data_dir, "1")
    latest = GraphSnapshot(run.data_dir)
    new = latest.known_ids("user")[len(early.known_ids("user")) :]
    assert (early.rows("user", new) == -1).all()


def test_popular_items_have_the_largest_scores(snapshot):
    items = snapshot.popular_items(3)
    total = snapshot.features("item", snapshot.known_ids("item"), ["item_1hop"])["item_1hop"].sum(1)
    best = np.sort(total)[::-1][:3]
    np.testing.assert_allclose(total[snapshot.rows("item", items)], best)


def test_a_directory_that_is_no_data_set_is_named(run, tmp_path):
    with pytest.raises(ValueError, match="is not a data set directory: it has no dataset_spec"):
        GraphSnapshot(str(tmp_path))
    with pytest.raises(ValueError, match="has no graph '99'"):
        GraphSnapshot(run.data_dir, "99")
