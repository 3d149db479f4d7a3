import numpy as np
import pytest
import tensorflow as tf

from mgoe_tf.layers.id_embeddings import Bags, IdEmbeddings
from tests.mgoe_tf.policies import policy


def bags(ids, weights, bag_of, count):
    return Bags(
        tf.constant(ids, tf.int32),
        tf.constant(weights, tf.float32),
        tf.constant(bag_of, tf.int32),
        tf.constant(count),
    )


def embeddings():
    layer = IdEmbeddings(sizes={"item_id": 3}, dim=2)
    layer.build({})
    layer.tables["item_id"].assign([[0.5, 0.5], [1, 10], [2, 20], [3, 30]])
    return layer


@pytest.mark.parametrize("mode", [{}, {"training": True}, {"served": True}])
def test_hand_worked(mode):
    targets = Bags.of_single_ids(tf.constant([2, 0]))
    # list 0 holds 1/4 of row 1 and 3/4 of row 3; list 1 is empty; list 2 holds row 3
    lists = bags([1, 3, 3], [0.25, 0.75, 1.0], [0, 0, 2], 3)
    own, sums = embeddings()({"item_id": [targets, lists]}, **mode)["item_id"]
    np.testing.assert_allclose(own, [[2, 20], [0.5, 0.5]])
    # 1/4 * 1 + 3/4 * 3 = 2.5
    np.testing.assert_allclose(sums, [[2.5, 25], [0, 0], [3, 30]])


@pytest.mark.parametrize("mode", [{}, {"training": True}, {"served": True}])
def test_means_hand_worked(mode):
    ids = tf.constant([[1, 3, -1], [-1, -1, -1], [0, -1, 2], [3, 3, 3]])
    lists = Bags.of_means(ids, ids >= 0)
    np.testing.assert_array_equal(lists.ids, [1, 3, 0, 2, 3, 3, 3])
    np.testing.assert_array_equal(lists.bag_of, [0, 0, 2, 2, 3, 3, 3])
    np.testing.assert_allclose(lists.weights, [1 / 2] * 4 + [1 / 3] * 3)
    (means,) = embeddings()({"item_id": [lists]}, **mode)["item_id"]
    # (1 + 3) / 2; nothing; (0.5 + 2) / 2; 3 thrice
    np.testing.assert_allclose(means, [[2, 20], [0, 0], [1.25, 10.25], [3, 30]], rtol=1e-6)


def test_means_of_no_lists_at_all():
    lists = Bags.of_means(tf.zeros([0, 3], tf.int32), tf.zeros([0, 3], tf.bool))
    (means,) = embeddings()({"item_id": [lists]}, training=True)["item_id"]
    assert means.shape == (0, 2)


def test_means_take_the_same_few_operations_whatever_their_length():
    def operations(length):
        @tf.function
        def means(ids):
            return Bags.of_means(ids, ids >= 0).weights

        spec = tf.TensorSpec([None, length], tf.int32)
        return len(means.get_concrete_function(spec).graph.get_operations())

    assert operations(50) == operations(2) < 30


def test_gradient_has_each_touched_row_once():
    layer = embeddings()
    with tf.GradientTape() as tape:
        own, sums = layer(
            {"item_id": [Bags.of_single_ids(tf.constant([3, 3])), bags([3, 1], [2, 1], [0, 0], 1)]},
            training=True,
        )["item_id"]
        loss = tf.reduce_sum(own) + tf.reduce_sum(sums)
    gradient = tape.gradient(loss, layer.tables["item_id"])
    assert isinstance(gradient, tf.IndexedSlices)
    # Row 3: twice by itself and once with weight 2; row 1: once.
    found = dict(zip(gradient.indices.numpy().tolist(), gradient.values.numpy(), strict=True))
    assert sorted(found) == [1, 3]
    np.testing.assert_allclose(found[3], [4, 4])
    np.testing.assert_allclose(found[1], [1, 1])


def test_more_rows_of_a_table_are_read_with_its_lists():
    layer = embeddings()
    wanted = tf.constant([False, True, True, False])
    with tf.GradientTape() as tape:
        (own, sums), rows, places = layer.among_rows(
            "item_id",
            [Bags.of_single_ids(tf.constant([3, 3])), bags([3, 1], [2, 1], [0, 0], 1)],
            wanted,
        )
        loss = tf.reduce_sum(own) + tf.reduce_sum(sums) + tf.reduce_sum(5 * rows[1])
    np.testing.assert_array_equal(own, [[3, 30], [3, 30]])
    np.testing.assert_array_equal(sums, [[7, 70]])
    # rows 1, 2 and 3, in order; of row 0, which nobody asked for, any
    np.testing.assert_array_equal(rows, [[1, 10], [2, 20], [3, 30]])
    assert places.numpy().tolist() == [0, 0, 1, 2]
    gradient = tape.gradient(loss, layer.tables["item_id"])
    np.testing.assert_array_equal(gradient.indices, [1, 2, 3])
    np.testing.assert_array_equal(gradient.values, [[1, 1], [5, 5], [4, 4]])
    sums, rows, _ = layer.among_rows("item_id", [], wanted)
    assert sums == []
    np.testing.assert_array_equal(rows, [[1, 10], [2, 20]])


@pytest.mark.parametrize("training", [False, True])
def test_no_entries_at_all(training):
    lists = [bags([], [], [], 2)]
    (sums,) = embeddings()({"item_id": lists}, training=training)["item_id"]
    np.testing.assert_array_equal(sums, np.zeros((2, 2)))


def test_float32_under_mixed_precision():
    with policy("mixed_float16"):
        layer = embeddings()
        (own,) = layer({"item_id": [Bags.of_single_ids(tf.constant([1]))]})["item_id"]
    assert own.dtype == tf.float32


def test_initial_values_are_glorot_uniform_and_differ():
    layer = IdEmbeddings(sizes={"user_id": 589, "item_id": 589}, dim=10)
    layer.build({})
    # sqrt(6 / (590 + 10)) = 0.1
    assert np.abs(layer.tables["user_id"]).max() == pytest.approx(0.1, rel=0.01)
    assert not np.allclose(layer.tables["user_id"], layer.tables["item_id"])


def test_refusals():
    with pytest.raises(ValueError, match=r"sizes: must be at least 0, got {'user_id': -1}"):
        IdEmbeddings(sizes={"user_id": -1}, dim=2)
    with pytest.raises(ValueError, match="dim: must be at least 1, got 0"):
        IdEmbeddings(sizes={"user_id": 1}, dim=0)
    with pytest.raises(ValueError, match=r"dim: must be of the tables \['user_id'\], got \['x'\]"):
        IdEmbeddings(sizes={"user_id": 1}, dim={"x": 2})
    with pytest.raises(ValueError, match=r"dim: must be at least 1, got {'user_id': 0}"):
        IdEmbeddings(sizes={"user_id": 1}, dim={"user_id": 0})


def test_tables_may_differ_in_width():
    layer = IdEmbeddings(sizes={"user_id": 3, "item_id": 4}, dim={"user_id": 2, "item_id": 5})
    ids = Bags.of_single_ids(tf.constant([1, 0, 3]))
    sums = layer({"user_id": [ids], "item_id": [ids]}, training=True)
    for name, width in (("user_id", 2), ("item_id", 5)):
        np.testing.assert_array_equal(sums[name][0], layer.tables[name].numpy()[[1, 0, 3]])
        assert sums[name][0].shape == (3, width)
    assert IdEmbeddings.from_config(layer.get_config()).get_config() == layer.get_config()
