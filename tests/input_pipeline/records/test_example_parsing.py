"""Parsing of rows written by hand."""

import numpy as np
import pytest
import tensorflow as tf

from input_pipeline.feature import Feature, Transform
from input_pipeline.records.checks import check_example
from input_pipeline.records.example_parsing import (
    padded,
    parse_examples,
    parse_ragged_examples,
)
from tests.encoded_rows import neighbor_lists

FEATURES = (
    Feature("user_id", "user", "id", "int64", vocabulary="user_id"),
    Feature("item_id", "item", "id", "bytes", vocabulary="item_id"),
    Feature("user_1hop", "user", "macro_edges", "float", 2, macro_nodes="item"),
    *neighbor_lists("user", "bytes"),
)
LABELS = (Feature("label_click", "row", "label", "float", missing=-1.0, optional=True),)


def example(**changes) -> bytes:
    """A row as FEATURES say; a change to None leaves the feature out."""
    values = {
        "user_id": [7],
        "item_id": [b"x"],
        "user_1hop": [0.5, 2.0],
        "user_neighbors_click": [b"a", b"b"],
        "user_neighbor_weights_click": [3.0, 1.0],
        "label_click": [1.0],
        "timestamp": [5],
        **changes,
    }
    row = tf.train.Example()
    for name, value in values.items():
        if value is None:
            continue
        feature = row.features.feature[name]
        if name == "item_id" or name.endswith("neighbors_click"):
            feature.bytes_list.value.extend(value)
        elif isinstance(value[0] if value else 0.0, int):
            feature.int64_list.value.extend(value)
        else:
            feature.float_list.value.extend(value)
    return row.SerializeToString()


def test_lists_are_padded_and_absent_labels_are_minus_one() -> None:
    rows = [
        example(),
        example(user_neighbors_click=[], user_neighbor_weights_click=[], label_click=None),
    ]
    parsed = parse_examples(tf.constant(rows), FEATURES, LABELS)
    np.testing.assert_array_equal(parsed["user_id"], [7, 7])
    np.testing.assert_array_equal(parsed["item_id"], [b"x", b"x"])
    np.testing.assert_array_equal(parsed["user_1hop"], [[0.5, 2]] * 2)
    expected = [[b"a", b"b", b""], [b"", b"", b""]]
    np.testing.assert_array_equal(parsed["user_neighbors_click"], expected)
    np.testing.assert_array_equal(parsed["user_neighbor_weights_click"], [[3, 1, 0], [0, 0, 0]])
    np.testing.assert_array_equal(parsed["label_click"], [1, -1])
    assert "timestamp" not in parsed


def test_ragged_lists_hold_what_there_is() -> None:
    rows = tf.constant(
        [example(), example(user_neighbors_click=[], user_neighbor_weights_click=[])]
    )
    parsed = parse_ragged_examples(rows, FEATURES, LABELS)
    assert parsed["user_neighbors_click"].to_list() == [[b"a", b"b"], []]
    assert parsed["user_neighbor_weights_click"].to_list() == [[3.0, 1.0], []]


def test_shapes_are_known_in_a_graph() -> None:
    parse = tf.function(lambda rows: parse_examples(rows, FEATURES, LABELS))
    shapes = parse.get_concrete_function(tf.TensorSpec([None], tf.string)).structured_outputs
    assert shapes["user_neighbors_click"].shape.as_list() == [None, 3]
    assert shapes["user_1hop"].shape.as_list() == [None, 2]
    assert shapes["user_id"].shape.as_list() == [None]


BAD = {
    "feature 'user_1hop': expected 2 float values, found 3 float values": {
        "user_1hop": [1.0, 2.0, 3.0]
    },
    "feature 'user_1hop': expected 2 float values, found none": {"user_1hop": None},
    "feature 'user_id': expected 1 int64 value, found 1 float value": {"user_id": [1.5]},
    "feature 'label_click': expected 1 float value, found 2 float values": {
        "label_click": [1.0, 1.0]
    },
    "feature 'user_neighbors_click': expected at most 3 bytes values, found 4 bytes values": {
        "user_neighbors_click": [b"a"] * 4,
        "user_neighbor_weights_click": [1.0] * 4,
    },
    "feature 'user_neighbor_weights_click': expected as many values as 'user_neighbors_click' has "
    "(2), found 1": {"user_neighbor_weights_click": [1.0]},
    "label 'label_click': expected 0 or 1, found 0.7": {"label_click": [0.7]},
    "label 'label_click': expected 0 or 1, found nan": {"label_click": [float("nan")]},
}


@pytest.mark.parametrize("message", BAD)
def test_bad_rows_fail_and_are_explained(message: str) -> None:
    row = example(**BAD[message])
    with pytest.raises(tf.errors.InvalidArgumentError):
        parse_examples(tf.constant([example(), row]), FEATURES, LABELS)
    assert check_example(row, FEATURES, LABELS) == message


def test_good_rows_are_not_complained_about() -> None:
    assert check_example(example(), FEATURES, LABELS) is None
    assert check_example(example(label_click=None), FEATURES, LABELS) is None
    empty = example(user_neighbors_click=[], user_neighbor_weights_click=[])
    assert check_example(empty, FEATURES, LABELS) is None


def test_garbage_and_missing_lists_are_explained() -> None:
    assert check_example(b"\xff\xff", FEATURES) == "not a tf.train.Example (2 bytes)"
    message = "feature 'user_neighbors_click': expected at most 3 bytes values, found none"
    row = example(user_neighbors_click=None, user_neighbor_weights_click=None)
    assert check_example(row, FEATURES) == message


MORE = (
    Feature("tags", "item", "side", "bytes", 3, ragged=True, vocabulary="tags", missing=""),
    Feature("interests", "user", "side", "int64", 2, ragged=True, vocabulary="x", missing=-9),
    Feature("price", "item", "numeric", "float", missing="nan", optional=True,
            transform=Transform("log")),
    Feature("size", "item", "numeric", "float", 2, missing=-1.0, optional=True,
            transform=Transform("none", (0.0, 0.0), (1.0, 1.0))),
    Feature("device", "context", "side", "bytes", vocabulary="device", missing="?", optional=True),
)  # fmt: skip


def row_of(**features) -> bytes:
    """A row of MORE; what is not given is left out."""
    example = tf.train.Example()
    kinds = {feature.name: feature.dtype for feature in MORE}
    for name, values in features.items():
        getattr(example.features.feature[name], f"{kinds[name]}_list").value.extend(values)
        getattr(example.features.feature[name], f"{kinds[name]}_list").SetInParent()
    return example.SerializeToString()


def test_lists_of_ids_and_features_that_are_left_out() -> None:
    whole = row_of(tags=[b"a", b"b"], interests=[5], price=[2.5], size=[3.0, 4.0], device=[b"ios"])
    empty = row_of(tags=[], interests=[])
    serialized = tf.constant([whole, empty])
    ragged = parse_ragged_examples(serialized, MORE)
    assert ragged["tags"].to_list() == [[b"a", b"b"], []]
    assert ragged["interests"].to_list() == [[5], []]
    parsed = parse_examples(serialized, MORE)
    np.testing.assert_array_equal(parsed["tags"], [[b"a", b"b", b""], [b""] * 3])
    np.testing.assert_array_equal(parsed["interests"], [[5, -9], [-9, -9]])
    np.testing.assert_array_equal(parsed["price"], [2.5, np.nan])
    np.testing.assert_array_equal(parsed["size"], [[3.0, 4.0], [-1.0, -1.0]])
    np.testing.assert_array_equal(parsed["device"], [b"ios", b"?"])
    assert check_example(whole, MORE) is None
    assert check_example(empty, MORE) is None


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({"tags": [b"a"] * 4}, "'tags': expected at most 3 bytes values, found 4 bytes values"),
        ({"size": [1.0]}, "'size': expected 2 float values, found 1 float value"),
    ],
)
def test_lists_of_another_length_are_explained(features, message) -> None:
    row = row_of(**{"tags": [], "interests": [], **features})
    with pytest.raises(tf.errors.InvalidArgumentError):
        parse_examples(tf.constant([row]), MORE)
    assert check_example(row, MORE) == f"feature {message}"


def test_encoded_lists_are_filled_up_with_no_row() -> None:
    lists = tf.ragged.constant([[4], [], [0, 2]])
    dense = padded({"tags": lists, "interests": lists, "price": tf.constant([1.0] * 3)}, MORE)
    np.testing.assert_array_equal(dense["tags"], [[4, -1, -1], [-1, -1, -1], [0, 2, -1]])
    np.testing.assert_array_equal(dense["interests"], [[4, -1], [-1, -1], [0, 2]])
    # of neighbours, whose weights tell what fills up, row 0
    dense = padded({"user_neighbors_click": lists, "user_neighbors_click/brand": lists}, FEATURES)
    for value in dense.values():
        np.testing.assert_array_equal(value, [[4, 0, 0], [0, 0, 0], [0, 2, 0]])
