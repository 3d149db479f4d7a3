"""Tables with a row for every node, and what numbers of fewer bits make of it."""

import numpy as np
import pytest
import tensorflow as tf

from export.node_state import NodeTable, bytes_a_row


def _chunks():
    random = np.random.default_rng(0)

    def chunk(size):
        return {
            "x": random.normal(size=(size, 3)).astype(np.float32),
            "macro": random.integers(0, 9, size).astype(np.int32),
            "heads": random.normal(size=(size, 2, 4)).astype(np.float32),
            "edges": np.full((size, 1), 1e6, np.float32),
            "levels": random.normal(size=(size, 2, 5)).astype(np.float32),
        }

    return [chunk(1), chunk(6)]


SHAPES = {
    "x": ([3], "float32"), "macro": ([], "int32"), "heads": ([2, 4], "float32"),
    "edges": ([1], "float32"), "levels": ([2, 5], "float32"),
}  # fmt: skip
# 3 + 8 + 10 numbers in the table's type, one integer and one exact number
BYTES = {"float32": 4 * 21 + 8, "float16": 2 * 21 + 8, "int8": 21 + 8}


@pytest.mark.parametrize("table_dtype", BYTES)
def test_rows_come_back(table_dtype):
    chunks = _chunks()
    table = NodeTable(
        chunks=chunks, table_dtype=table_dtype, exact=["edges"], by_task=["heads"], name="nodes"
    )
    assert table.size_bytes == 7 * BYTES[table_dtype]
    assert bytes_a_row(SHAPES, table_dtype, ["edges"]) == BYTES[table_dtype]
    whole = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in SHAPES}
    # half of the largest of the 255 steps between some -3 and 3; 11 bits of numbers below 4
    atol = {"float32": 0.0, "float16": 2e-3, "int8": 3.5 / 255}[table_dtype]
    for rows in (np.array([6, 0, 6]), np.array([[1, 2], [0, 6], [3, 3]])):
        found = table(tf.constant(rows, tf.int64))
        assert set(found) == set(SHAPES)
        for name, value in found.items():
            expected = whole[name][rows]
            if name == "heads":  # [T, B, ...] or [T, B, N, ...]
                expected = np.moveaxis(expected, -2, 0)
            exact = name in ("macro", "edges")
            np.testing.assert_allclose(value, expected, rtol=0, atol=0 if exact else atol)
        assert found["macro"].dtype == tf.int32


def test_columns_of_one_number_keep_it_in_steps():
    chunks = [{"x": np.array([[0.1, -7.0], [0.1, 9.0]], np.float32)}]
    table = NodeTable(chunks=chunks, table_dtype="int8", name="nodes")
    np.testing.assert_allclose(table(tf.constant([0, 1]))["x"], chunks[0]["x"], atol=1e-5)


def test_another_type_is_refused():
    with pytest.raises(ValueError, match=r"table_dtype: must be one of .*, got 'float64'"):
        NodeTable(chunks=_chunks(), table_dtype="float64", name="nodes")


def test_integers_that_float32_does_not_hold_are_refused():
    chunks = [{"macro": np.array([1, -(2**24)], np.int32)}]
    np.testing.assert_array_equal(
        NodeTable(chunks=chunks, table_dtype="int8", name="nodes")(tf.constant([1, 0]))["macro"],
        [-(2**24), 1],
    )
    chunks[0]["macro"][0] = 2**24 + 1
    with pytest.raises(ValueError, match=r"macro: integers of a table must be .* got 16777217"):
        NodeTable(chunks=chunks, name="nodes")
