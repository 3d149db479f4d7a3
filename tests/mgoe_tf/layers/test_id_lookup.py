import pathlib

import numpy as np
import pytest
import tensorflow as tf

from mgoe_tf.layers.id_lookup import IdLookup
from tests.encoded_rows import make_spec

NAMES = (
    "user_id",
    "item_id",
    "brand",
    "item_macro",
    "user_1hop",
    "user_neighbors_click",
    "user_neighbor_weights_click",
    "item_neighbors_buy",
)


@pytest.fixture
def vocabulary_dir(tmp_path: pathlib.Path) -> str:
    (tmp_path / "user_id.txt").write_text("70\n-3\n0\n")
    (tmp_path / "item_id.txt").write_bytes(b"b a\nx\ty\n\xff\n\n")
    (tmp_path / "brand.txt").write_text("")
    # The side feature of unknown items, then of each item's row.
    np.save(tmp_path / "brand.npy", np.array([0, 5, 6, 7, 8], np.int32))
    np.save(tmp_path / "category_id.npy", np.array([0, 1, 2, 1, 2], np.int32))
    np.save(tmp_path / "gender.npy", np.array([0, 1, 2, 1], np.int32))
    return str(tmp_path)


def raw_features():
    return {
        "user_id": tf.constant([-3, 5], tf.int64),
        "item_id": tf.constant([b"\xff", b"b"]),
        "brand": tf.constant([b"", b"acme"]),
        "item_macro": tf.constant([-1, 2], tf.int64),
        "user_1hop": tf.constant([[1.5], [2.5]]),
        "user_neighbors_click": tf.constant([[b"x\ty", b"b a"], [b"", b"zz"]]),
        "user_neighbor_weights_click": tf.constant([[1.0, 2.0], [3.0, 4.0]]),
        "item_neighbors_buy": tf.constant([[0, 70], [8, -3]], tf.int64),
        "timestamp": tf.constant([1, 2]),
    }


def test_hand_worked(vocabulary_dir):
    lookup = IdLookup(spec=make_spec(), vocabulary_dir=vocabulary_dir, names=NAMES)
    rows = lookup(raw_features())
    assert set(rows) - set(NAMES) == {
        "user_neighbors_click/category_id",
        "user_neighbors_click/brand",
        "item_neighbors_buy/gender",
    }
    # Line i (from 0) is row i + 1; what is not in the file is row 0.
    np.testing.assert_array_equal(rows["user_id"], [2, 0])
    np.testing.assert_array_equal(rows["item_id"], [3, 0])
    np.testing.assert_array_equal(rows["brand"], [0, 0])
    # A user's neighbours are items, an item's neighbours are users; the empty line is an id too.
    np.testing.assert_array_equal(rows["user_neighbors_click"], [[2, 1], [4, 0]])
    np.testing.assert_array_equal(rows["user_neighbors_click/brand"], [[6, 5], [8, 0]])
    np.testing.assert_array_equal(rows["item_neighbors_buy"], [[3, 1], [0, 2]])
    assert rows["user_id"].dtype == rows["item_neighbors_buy"].dtype == tf.int32
    np.testing.assert_array_equal(rows["item_macro"], [-1, 2])
    np.testing.assert_array_equal(rows["user_1hop"], [[1.5], [2.5]])


def test_ragged_lists_stay_ragged_and_user_row_is_kept(vocabulary_dir):
    lookup = IdLookup(spec=make_spec(), vocabulary_dir=vocabulary_dir, names=NAMES)
    features = raw_features()
    neighbors = tf.ragged.constant([[b"x\ty", b"b a"], [b"zz"]])
    rows = lookup({**features, "user_neighbors_click": neighbors, "user_row": tf.constant([1, 0])})
    assert rows["user_neighbors_click"].to_list() == [[2, 1], [0]]
    assert rows["user_neighbors_click/brand"].to_list() == [[6, 5], [0]]
    np.testing.assert_array_equal(rows["user_row"], [1, 0])


UNKNOWN = -(2**63)


@pytest.mark.parametrize("ragged", [True, False])
def test_lists_of_ids_end_where_they_are_filled_up(vocabulary_dir, ragged):
    folder = pathlib.Path(vocabulary_dir)
    (folder / "tags.txt").write_text("red\nblue\n")
    (folder / "interests.txt").write_text("0\n5\n")
    names = ("tags", "interests", "shown_brands", "price")
    lookup = IdLookup(spec=make_spec(), vocabulary_dir=vocabulary_dir, names=names)
    features = {
        "tags": [[b"blue", b"green", b"red"], []],
        "interests": [[5, 7], [0]],
        "shown_brands": [[b"acme"], []],
    }
    fillers = {"tags": b"", "interests": UNKNOWN, "shown_brands": b""}
    raw = {name: tf.ragged.constant(lists) for name, lists in features.items()}
    raw["interests"] = tf.cast(raw["interests"], tf.int64)
    if not ragged:
        raw = {n: lists.to_tensor(tf.constant(fillers[n], lists.dtype)) for n, lists in raw.items()}
    rows = lookup({**raw, "price": tf.constant([2.5, float("nan")])})
    # an unknown id is row 0; what fills a list up is none
    expected = {
        "tags": [[2, 0, 1], []],
        "interests": [[2, 0], [1]],
        "shown_brands": [[0], []],
    }
    for name, lists in expected.items():
        assert rows[name].dtype == tf.int32
        if not ragged:
            width = rows[name].shape[1]
            lists = [[*ids, *[-1] * (width - len(ids))] for ids in lists]
        found = rows[name].to_list() if ragged else rows[name].numpy().tolist()
        assert found == lists, name
    np.testing.assert_array_equal(rows["price"], [2.5, np.nan])


def test_ids_without_an_empty_one_are_read_from_the_file(vocabulary_dir):
    pathlib.Path(vocabulary_dir, "brand.txt").write_bytes(b"x\ty\na b\n")
    lookup = IdLookup(spec=make_spec(), vocabulary_dir=vocabulary_dir, names=("brand",))
    rows = lookup({"brand": tf.constant(["a b", "x", "", "x\ty"])})
    np.testing.assert_array_equal(rows["brand"], [2, 0, 0, 1])


def test_in_an_input_pipeline(vocabulary_dir):
    lookup = IdLookup(spec=make_spec(), vocabulary_dir=vocabulary_dir, names=NAMES)
    dataset = tf.data.Dataset.from_tensors(raw_features()).map(lookup)
    np.testing.assert_array_equal(next(iter(dataset))["user_id"], [2, 0])


@pytest.mark.parametrize("items", [b"b a\nc\n", b"b a\n\n"])
def test_vocabularies_travel_with_a_saved_model(vocabulary_dir, tmp_path, items):
    pathlib.Path(vocabulary_dir, "item_id.txt").write_bytes(items)
    module = tf.Module()
    module.lookup = IdLookup(
        spec=make_spec(), vocabulary_dir=vocabulary_dir, names=("user_id", "item_id")
    )
    serve = tf.function(
        lambda user_id, item_id: module.lookup({"user_id": user_id, "item_id": item_id}),
        input_signature=[tf.TensorSpec([None], tf.int64), tf.TensorSpec([None], tf.string)],
    )
    export = str(tmp_path / "export")
    tf.saved_model.save(module, export, signatures=serve.get_concrete_function())
    for path in pathlib.Path(vocabulary_dir).glob("*.txt"):
        path.unlink()
    rows = tf.saved_model.load(export).signatures["serving_default"](
        user_id=tf.constant([0, 1], tf.int64), item_id=tf.constant(["b a", "?"])
    )
    np.testing.assert_array_equal(rows["user_id"], [3, 0])
    np.testing.assert_array_equal(rows["item_id"], [1, 0])


def test_refusals(vocabulary_dir):
    with pytest.raises(ValueError, match="the data set has no feature 'age'"):
        IdLookup(spec=make_spec(), vocabulary_dir=vocabulary_dir, names=("age",))
    lookup = IdLookup(spec=make_spec(), vocabulary_dir=vocabulary_dir, names=("user_id", "brand"))
    with pytest.raises(ValueError, match=r"must have \['brand'\], got \['user_id'\]"):
        lookup({"user_id": tf.constant([1], tf.int64)})
