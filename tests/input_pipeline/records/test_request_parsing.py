"""Parsing of requests written by hand."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from input_pipeline.feature import Feature, Transform
from input_pipeline.records.checks import check_request
from input_pipeline.records.example_parsing import padded, parse_examples
from input_pipeline.records.example_rows import examples_of_request
from input_pipeline.records.layouts import layout_of
from input_pipeline.records.packing import pack
from input_pipeline.records.request_parsing import expand_users, parse_requests
from tests.encoded_rows import make_spec, neighbor_lists
from tests.packed_records import packed, packing_of

FEATURES = (
    Feature("user_id", "user", "id", "int64", vocabulary="user_id"),
    *neighbor_lists("user", "bytes"),
    Feature("item_id", "item", "id", "bytes", vocabulary="item_id"),
    Feature("item_1hop", "item", "macro_edges", "float", 2, macro_nodes="user"),
    *neighbor_lists("item", "int64"),
)
LABELS = (Feature("label_click", "row", "label", "float", missing=-1.0, optional=True),)
STORED = (*FEATURES, Feature("timestamp", "row", "timestamp", "int64"), *LABELS)
PACKING = packing_of(STORED)
USER = {
    "user_id": [7],
    "user_neighbors_click": [b"a", b"b"],
    "user_neighbor_weights_click": [3.0, 1.0],
}
ROWS = (
    {"item_id": [b"x"], "item_1hop": [0.5, 2.0], "label_click": [1.0], "timestamp": [5]},
    {
        "item_id": [b"y"],
        "item_1hop": [0.0, 1.0],
        "item_neighbors_click": [5, 6],
        "item_neighbor_weights_click": [2.0, 1.0],
        "timestamp": [6],
    },
)


def request(user=None, rows=ROWS, **packs) -> bytes:
    """A record of two rows as STORED says; a pack may be changed, or left out by None."""
    return packed({**USER, **(user or {})}, rows, STORED, **packs)


def parse(*records: bytes, features=FEATURES, labels=LABELS) -> dict:
    return parse_requests(tf.constant(records), features, labels, packing=PACKING)


def test_what_lies_side_by_side() -> None:
    assert pack(STORED) == {
        "user_int64": ["user_id"],
        "user_lengths": ["user_neighbors_click"],
        "user_bytes_lists": ["user_neighbors_click"],
        "user_float_lists": ["user_neighbor_weights_click"],
        "rows_bytes": ["item_id"],
        "rows_float": ["item_1hop", "label_click"],
        "rows_lengths": ["item_neighbors_click"],
        "rows_int64_lists": ["item_neighbors_click"],
        "rows_float_lists": ["item_neighbor_weights_click"],
        "rows_int64": ["timestamp"],
    }
    found = tf.train.Example.FromString(request()).features.feature
    assert found["rows_float"].float_list.value == [0.5, 2.0, 1.0, 0.0, 1.0, -1.0]
    assert found["rows_lengths"].int64_list.value == [0, 2]


def test_rows_follow_one_another_and_know_their_user() -> None:
    nothing = {"user_id": [8], "user_neighbors_click": [], "user_neighbor_weights_click": []}
    columns = parse(request(), request(nothing, ROWS[:1]))
    np.testing.assert_array_equal(columns["user_id"], [7, 8])
    assert columns["user_neighbors_click"].to_list() == [[b"a", b"b"], []]
    np.testing.assert_array_equal(columns["user_row"], [0, 0, 1])
    assert columns["user_row"].dtype == tf.int32
    np.testing.assert_array_equal(columns["item_id"], [b"x", b"y", b"x"])
    np.testing.assert_array_equal(columns["item_1hop"], [[0.5, 2.0], [0.0, 1.0], [0.5, 2.0]])
    assert columns["item_neighbors_click"].to_list() == [[], [5, 6], []]
    assert columns["item_neighbor_weights_click"].to_list() == [[], [2.0, 1.0], []]
    np.testing.assert_array_equal(columns["label_click"], [1.0, -1.0, 1.0])
    assert "timestamp" not in columns


def test_labels_alone_and_rows_without_any() -> None:
    columns = parse(request(rows=ROWS[1:] * 2), features=())
    assert sorted(columns) == ["label_click", "user_row"]
    np.testing.assert_array_equal(columns["label_click"], [-1.0, -1.0])
    np.testing.assert_array_equal(columns["user_row"], [0, 0])


def test_what_is_not_wanted_is_not_looked_at() -> None:
    record = request(user_int64=None, rows_int64_lists=[1] * 9)
    wanted = [feature for feature in FEATURES if feature.name == "item_1hop"]
    np.testing.assert_array_equal(parse(record, features=wanted)["item_1hop"][1], [0.0, 1.0])
    assert check_request(record, wanted, LABELS, packing=PACKING) is None


def test_records_of_the_old_layout_are_refused_with_the_remedy() -> None:
    spec = dataclasses.replace(make_spec(), record_layout="request")
    message = "data: its records are .* of version 0.4 and before, .* prepare the data set again"
    with pytest.raises(ValueError, match=message):
        layout_of(spec, "data")


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


FLOATS = "feature 'rows_float', which holds item_1hop, label_click: expected"
LISTED = "feature 'rows_int64_lists', which holds item_neighbors_click: expected"
BAD = {
    "feature 'user_int64', which holds user_id: expected 1 int64 values, found none": {
        "user_int64": None,
    },
    "feature 'user_int64', which holds user_id: expected 1 int64 values, found 1 of float": {
        "rows_int64": None,
        "user_int64": 1.5,
    },
    "feature 'user_float_lists', which holds user_neighbor_weights_click: expected 2 float values, "
    "found 1 of float": {"user_float_lists": [1.0]},
    "feature 'user_neighbors_click': expected at most 3 bytes values, found 4 bytes values": {
        "user": {
            "user_neighbors_click": [b"a"] * 4,
            "user_neighbor_weights_click": [1.0] * 4,
        },
    },
    f"{FLOATS} 6 float values, found none": {"rows_float": None},
    f"{FLOATS} 6 float values, found 7 of float": {"rows_float": [1.0] * 7},
    f"{LISTED} 2 int64 values, found 3 of int64": {"rows_int64_lists": [1] * 3},
    f"{LISTED} 3 int64 values, found 2 of int64": {"rows_lengths": [1, 2]},
    "feature 'rows_lengths', which holds lengths of item_neighbors_click: expected 2 int64 values, "
    "found 1 of int64": {"rows_lengths": [2]},
    "feature 'rows_lengths': expected lengths, found a negative one": {"rows_lengths": [3, -1]},
    "feature 'rows_bytes', which holds item_id: expected those of 1 row or more bytes values, "
    "found 0 of bytes": {"rows": ()},
    "feature 'rows_bytes', which holds item_id: expected those of 1 row or more bytes values, "
    "found none": {"rows_bytes": None},
    "candidate 1 (counting from 0): feature 'item_neighbors_click': expected at most 3 int64 "
    "values, found 4 int64 values": {
        "rows": (ROWS[0], {
            **ROWS[1],
            "item_neighbors_click": [1] * 4,
            "item_neighbor_weights_click": [1.0] * 4,
        }),
    },
    "candidate 1 (counting from 0): label 'label_click': expected 0 or 1, found 0.7": {
        "rows": (ROWS[0], {**ROWS[1], "label_click": [0.7]}),
    },
}  # fmt: skip


def bad_request(changes: dict) -> bytes:
    if changes.get("user_int64") != 1.5:
        return request(**changes)
    record = tf.train.Example.FromString(request())
    record.features.feature["user_int64"].float_list.value.append(1.5)
    return record.SerializeToString()


@pytest.mark.parametrize("message", BAD)
def test_bad_requests_fail_and_are_explained(message: str) -> None:
    record = bad_request(BAD[message])
    with pytest.raises(tf.errors.InvalidArgumentError):
        parse(request(), record)
    assert check_request(record, FEATURES, LABELS, packing=PACKING) == message


def test_good_requests_are_not_complained_about() -> None:
    for record in (request(), request(rows=ROWS[1:])):
        assert check_request(record, FEATURES, LABELS, packing=PACKING) is None


def test_garbage_is_explained() -> None:
    message = "not a tf.train.Example (2 bytes)"
    assert check_request(b"\xff\xff", FEATURES, packing=PACKING) == message


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
FIRST = (
    {"user_id": [7], "interests": [5], "age": [30.0]},
    (
        {"tags": [b"a"], "size": [3.0, 4.0], "device": [b"ios"]},
        {"price": [2.5]},
    ),
)
SECOND = ({"user_id": [8]}, ({"tags": [b"b", b"c"], "price": [0.5]},))
RECORDS = [packed(*FIRST, MORE), packed(*SECOND, MORE)]


def test_lists_of_ids_and_features_that_are_left_out() -> None:
    columns = parse_requests(tf.constant(RECORDS), MORE, packing=packing_of(MORE))
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
    checked = [check_request(record, MORE, packing=packing_of(MORE)) for record in RECORDS]
    assert checked == [None, None]


def test_rows_are_the_same_in_both_layouts() -> None:
    packing = packing_of(MORE)
    rows = [row for record in RECORDS for row in examples_of_request(record, packing)]
    first = tf.train.Example.FromString(rows[1]).features.feature
    assert sorted(first) == ["age", "interests", "price", "tags", "user_id"]
    of_rows = parse_examples(tf.constant(rows), MORE)
    of_user = {feature.name for feature in MORE if feature.owner == "user"}
    of_requests = expand_users(
        padded(parse_requests(tf.constant(RECORDS), MORE, packing=packing), MORE), of_user=of_user
    )
    assert of_rows.keys() == of_requests.keys()
    for name, value in of_rows.items():
        np.testing.assert_array_equal(of_requests[name], value, err_msg=name)
