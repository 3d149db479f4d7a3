"""Parsing of requests written by hand."""

import numpy as np
import pytest
import tensorflow as tf

from input_pipeline.feature import Feature, Transform
from input_pipeline.records.checks import check_request
from input_pipeline.records.example_parsing import padded, parse_examples
from input_pipeline.records.example_rows import examples_of_request
from input_pipeline.records.request_parsing import expand_users, parse_requests
from tests.encoded_rows import neighbor_lists

FEATURES = (
    Feature("user_id", "user", "id", "int64", vocabulary="user_id"),
    *neighbor_lists("user", "bytes"),
    Feature("item_id", "item", "id", "bytes", vocabulary="item_id"),
    Feature("item_1hop", "item", "macro_edges", "float", 2, macro_nodes="user"),
    *neighbor_lists("item", "int64"),
)
LABELS = (Feature("label_click", "row", "label", "float", missing=-1.0, optional=True),)
CONTEXT = {
    "user_id": [7],
    "user_neighbors_click": [b"a", b"b"],
    "user_neighbor_weights_click": [3.0, 1.0],
}
LISTS = {
    "item_id": [[b"x"], [b"y"]],
    "item_1hop": [[0.5, 2.0], [0.0, 1.0]],
    "item_neighbors_click": [[], [5, 6]],
    "item_neighbor_weights_click": [[], [2.0, 1.0]],
    "label_click": [[1.0], []],
    "timestamp": [[5], [6]],
}


def fill(feature: tf.train.Feature, name: str, values: list) -> None:
    kind = "float" if "weights" in name or name in ("item_1hop", "label_click") else "int64"
    if name in ("item_id", "user_neighbors_click"):
        kind = "bytes"
    if values and isinstance(values[0], float):
        kind = "float"
    getattr(feature, f"{kind}_list").SetInParent()
    getattr(feature, f"{kind}_list").value.extend(values)


def request(**changes) -> bytes:
    """A request of two candidates as FEATURES say; a change to None leaves the feature out."""
    message = tf.train.SequenceExample()
    for name, values in {**CONTEXT, **{n: v for n, v in changes.items() if n in CONTEXT}}.items():
        if values is not None:
            fill(message.context.feature[name], name, values)
    for name, lists in {**LISTS, **{n: v for n, v in changes.items() if n in LISTS}}.items():
        for values in lists or []:
            fill(message.feature_lists.feature_list[name].feature.add(), name, values)
    return message.SerializeToString()


def test_rows_follow_one_another_and_know_their_user() -> None:
    one = {name: lists[:1] for name, lists in LISTS.items()}
    second = request(user_id=[8], user_neighbors_click=[], user_neighbor_weights_click=[], **one)
    columns = parse_requests(tf.constant([request(), second]), FEATURES, LABELS)
    np.testing.assert_array_equal(columns["user_id"], [7, 8])
    assert columns["user_neighbors_click"].to_list() == [[b"a", b"b"], []]
    np.testing.assert_array_equal(columns["user_row"], [0, 0, 1])
    assert columns["user_row"].dtype == tf.int32
    np.testing.assert_array_equal(columns["item_id"], [b"x", b"y", b"x"])
    np.testing.assert_array_equal(columns["item_1hop"], [[0.5, 2.0], [0.0, 1.0], [0.5, 2.0]])
    assert columns["item_neighbors_click"].to_list() == [[], [5, 6], []]
    np.testing.assert_array_equal(columns["label_click"], [1.0, -1.0, 1.0])
    assert "timestamp" not in columns


def test_labels_alone_and_rows_without_any() -> None:
    unlabeled = request(label_click=[[], []])
    columns = parse_requests(tf.constant([unlabeled]), (), LABELS)
    np.testing.assert_array_equal(columns["label_click"], [-1.0, -1.0])
    np.testing.assert_array_equal(columns["user_row"], [0, 0])


def test_expand_users_repeats_what_is_the_users() -> None:
    columns = {
        "user_id": tf.constant([7, 8]),
        "user_neighbors_click/brand": tf.constant([[1], [2]]),
        "item_id": tf.constant([1, 2, 3]),
        "user_row": tf.constant([1, 0, 1]),
    }
    rows = expand_users(columns, of_user={"user_id", "user_neighbors_click"})
    np.testing.assert_array_equal(rows["user_id"], [8, 7, 8])
    np.testing.assert_array_equal(rows["user_neighbors_click/brand"], [[2], [1], [2]])
    np.testing.assert_array_equal(rows["item_id"], [1, 2, 3])
    assert (
        expand_users(rows, of_user={"user_id"}).keys()
        == rows.keys()
        == columns.keys() - {"user_row"}
    )


BAD = {
    "feature 'user_id': expected 1 int64 value, found none": {"user_id": None},
    "feature 'user_neighbor_weights_click': expected as many values as 'user_neighbors_click' has "
    "(2), found 1": {"user_neighbor_weights_click": [1.0]},
    "feature 'user_neighbors_click': expected at most 3 bytes values, found 4 bytes values": {
        "user_neighbors_click": [b"a"] * 4,
        "user_neighbor_weights_click": [1.0] * 4,
    },
    "feature list 'item_1hop': expected 2 entries, found 0": {"item_1hop": None},
    "feature list 'item_neighbors_click': expected 2 entries, found 3": {
        "item_neighbors_click": [[]] * 3,
    },
    "feature list 'item_id': expected 1 entries, found 0": dict.fromkeys(LISTS),
    "candidate 1 (counting from 0): feature 'item_1hop': expected 2 float values, found 3 float "
    "values": {"item_1hop": [[1.0, 2.0], [1.0, 2.0, 3.0]]},
    "candidate 0 (counting from 0): feature 'item_id': expected 1 bytes value, found 0 bytes "
    "values": {"item_id": [[], [b"y"]]},
    "candidate 0 (counting from 0): feature 'item_neighbor_weights_click': expected as many values "
    "as 'item_neighbors_click' has (0), found 1": {
        "item_neighbor_weights_click": [[1.0], [2.0] * 2]
    },
    "candidate 1 (counting from 0): feature 'item_neighbors_click': expected at most 3 int64 "
    "values, found 4 int64 values": {
        "item_neighbors_click": [[], [1] * 4],
        "item_neighbor_weights_click": [[], [1.0] * 4],
    },
    "candidate 0 (counting from 0): feature 'label_click': expected 1 float value, found 2 float "
    "values": {"label_click": [[1.0, 1.0], [0.0]]},
    "candidate 1 (counting from 0): label 'label_click': expected 0 or 1, found 0.7": {
        "label_click": [[1.0], [0.7]]
    },
}


@pytest.mark.parametrize("message", BAD)
def test_bad_requests_fail_and_are_explained(message: str) -> None:
    record = request(**BAD[message])
    with pytest.raises(tf.errors.InvalidArgumentError):
        parse_requests(tf.constant([request(), record]), FEATURES, LABELS)
    reason = check_request(record, FEATURES, LABELS)
    assert reason == message


def test_good_requests_are_not_complained_about() -> None:
    assert check_request(request(), FEATURES, LABELS) is None
    assert check_request(request(label_click=[[], []]), FEATURES, LABELS) is None


def test_garbage_and_missing_lists_are_explained() -> None:
    message = "not a tf.train.SequenceExample (2 bytes)"
    assert check_request(b"\xff\xff", FEATURES) == message
    message = "feature 'user_neighbors_click': expected at most 3 bytes values, found none"
    record = request(user_neighbors_click=None, user_neighbor_weights_click=None)
    assert check_request(record, FEATURES) == message


MORE = (
    Feature("user_id", "user", "id", "int64", vocabulary="user_id"),
    Feature("interests", "user", "side", "int64", 2, ragged=True, vocabulary="x", missing=-9),
    Feature("age", "user", "numeric", "float", missing="nan", optional=True,
            transform=Transform("standard")),
    Feature("tags", "item", "side", "bytes", 3, ragged=True, vocabulary="tags", missing=""),
    Feature("price", "item", "numeric", "float", missing="nan", optional=True,
            transform=Transform("log")),
    Feature("size", "item", "numeric", "float", 2, missing=-1.0, optional=True,
            transform=Transform("none", (0.0, 0.0), (1.0, 1.0))),
    Feature("device", "context", "side", "bytes", vocabulary="device", missing="?", optional=True),
)  # fmt: skip
KINDS = {feature.name: feature.dtype for feature in MORE}


def record_of(context: dict, lists: dict) -> bytes:
    """A request of MORE; what is not given is left out."""
    message = tf.train.SequenceExample()
    for name, values in context.items():
        of_kind = getattr(message.context.feature[name], f"{KINDS[name]}_list")
        of_kind.SetInParent()
        of_kind.value.extend(values)
    for name, rows in lists.items():
        for values in rows:
            feature = message.feature_lists.feature_list[name].feature.add()
            if values is not None:
                getattr(feature, f"{KINDS[name]}_list").SetInParent()
                getattr(feature, f"{KINDS[name]}_list").value.extend(values)
    return message.SerializeToString()


FIRST = (
    {"user_id": [7], "interests": [5], "age": [30.0]},
    {
        "tags": [[b"a"], []],
        "price": [[], [2.5]],
        "size": [[3.0, 4.0], []],
        "device": [[b"ios"], None],
    },
)
SECOND = (
    {"user_id": [8], "interests": []},
    {"tags": [[b"b", b"c"]], "price": [[0.5]], "size": [[]], "device": [[]]},
)


def test_lists_of_ids_and_features_that_are_left_out() -> None:
    records = [record_of(*FIRST), record_of(*SECOND)]
    columns = parse_requests(tf.constant(records), MORE)
    assert columns["interests"].to_list() == [[5], []]
    assert columns["tags"].to_list() == [[b"a"], [], [b"b", b"c"]]
    dense = padded(columns, MORE)
    np.testing.assert_array_equal(dense["age"], [30.0, np.nan])
    np.testing.assert_array_equal(dense["interests"], [[5, -9], [-9, -9]])
    np.testing.assert_array_equal(dense["tags"], [[b"a", b"", b""], [b""] * 3, [b"b", b"c", b""]])
    np.testing.assert_array_equal(dense["price"], [np.nan, 2.5, 0.5])
    np.testing.assert_array_equal(dense["size"], [[3.0, 4.0], [-1.0, -1.0], [-1.0, -1.0]])
    np.testing.assert_array_equal(dense["device"], [b"ios", b"?", b"?"])
    np.testing.assert_array_equal(dense["user_row"], [0, 0, 1])
    assert [check_request(record, MORE) for record in records] == [None, None]


def test_a_list_that_is_neither_whole_nor_empty_is_explained() -> None:
    context, lists = FIRST
    record = record_of(context, {**lists, "size": [[3.0, 4.0], [1.0]]})
    with pytest.raises(tf.errors.InvalidArgumentError):
        parse_requests(tf.constant([record]), MORE)
    message = "feature 'size': expected 2 float values, found 1 float value"
    assert check_request(record, MORE) == f"candidate 1 (counting from 0): {message}"


def test_rows_are_the_same_in_both_layouts() -> None:
    records = [record_of(*FIRST), record_of(*SECOND)]
    optional = {feature.name for feature in MORE if feature.optional}
    rows = [row for record in records for row in examples_of_request(record, optional)]
    of_rows = parse_examples(tf.constant(rows), MORE)
    of_user = {feature.name for feature in MORE if feature.owner == "user"}
    of_requests = expand_users(
        padded(parse_requests(tf.constant(records), MORE), MORE), of_user=of_user
    )
    assert of_rows.keys() == of_requests.keys()
    for name, value in of_rows.items():
        np.testing.assert_array_equal(of_requests[name], value, err_msg=name)
