"""Rows of tables in shards."""

import math

import numpy as np
import pytest
import tensorflow as tf

from mgoe_tf.layers.id_embeddings import Bags, IdEmbeddings
from mgoe_tf.layers.row_order import RowOrders, multiplier, place, to_index_order


def test_ten_rows_by_hand() -> None:
    # 0.618 x 10 = 6.18: 6 has the divisor 2 in common with 10, and 7 none
    assert multiplier(10) == 7
    found = place(tf.range(10), 7, 10).numpy().tolist()
    assert found == [0, 7, 4, 1, 8, 5, 2, 9, 6, 3]


@pytest.mark.parametrize("rows", [1, 2, 3, 10, 61, 4096, 10**6 + 1])
def test_every_row_has_one_index(rows: int) -> None:
    a = multiplier(rows)
    assert math.gcd(a, rows) == 1
    places = place(tf.range(rows, dtype=tf.int64), a, rows).numpy()
    np.testing.assert_array_equal(np.sort(places), np.arange(rows))


def test_products_beyond_32_bits_are_right() -> None:
    rows, index = 2 * 10**9, 10**9 + 7
    a = multiplier(rows)
    assert int(place(tf.constant(index), a, rows)) == a * index % rows


@pytest.mark.parametrize("shards", [2, 3, 7, 16])
def test_popular_indices_are_spread_over_any_number_of_shards(shards: int) -> None:
    rows, popular = 100_003, 1000
    places = place(tf.range(popular), multiplier(rows), rows).numpy()
    counts = np.bincount(places * shards // rows, minlength=shards)
    # unpermuted, the first shard has all of them
    assert counts.max() - counts.min() <= 6


def test_no_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="rows: must be at least 1, got 0"):
        multiplier(0)


@pytest.mark.parametrize("training", [True, False])
def test_a_permuted_table_gives_the_embeddings_of_a_whole_one(training: bool) -> None:
    layer = IdEmbeddings(sizes={"user_id": 9}, dim=2)
    bags = {"user_id": [Bags.of_single_ids(tf.constant([3, 0, 9, 1, 3]))]}
    expected = layer(bags, training=training)["user_id"][0].numpy()
    table = layer.tables["user_id"]
    whole = table.numpy()
    permuted = np.zeros_like(whole)
    permuted[[0, 7, 4, 1, 8, 5, 2, 9, 6, 3]] = whole  # as by hand above
    table.assign(permuted)
    layer.row_orders = RowOrders({"user_id": 10}).by_table()
    np.testing.assert_array_equal(layer(bags, training=training)["user_id"][0], expected)
    to_index_order(table, 7)
    np.testing.assert_array_equal(table, whole)
