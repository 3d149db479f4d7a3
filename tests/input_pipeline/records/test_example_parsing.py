"""Parsing of rows written by hand."""

import numpy as np
import pytest
import tensorflow as tf

from input_pipeline.feature import Feature
from input_pipeline.records.checks import check_example
from input_pipeline.records.example_parsing import parse_examples, parse_ragged_examples
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
