import numpy as np
import pytest
import tensorflow as tf

from mgoe_tf.layers.id_embeddings import IdEmbeddings
from mgoe_tf.layers.neighbor_bags import NeighborBags
from tests import reference

# Two tasks of one row each: neighbours 4 and 5 with scores 1 and 3; then 6 alone.
NEIGHBORS = tf.constant([[[4, 5, 0]], [[6, 0, 0]]])
SCORES = tf.constant([[[1.0, 3.0, 0.0]], [[2.0, 0.0, 0.0]]])


def test_hand_worked():
    bags = NeighborBags()({"item_id": NEIGHBORS, "brand": NEIGHBORS + 10}, SCORES)
    np.testing.assert_array_equal(bags["brand"].ids, [14, 15, 16])
    bags = bags["item_id"]
    np.testing.assert_array_equal(bags.ids, [4, 5, 6])
    # 1/4, 3/4; 2/2
    np.testing.assert_allclose(bags.weights, [0.25, 0.75, 1.0])
    np.testing.assert_array_equal(bags.bag_of, [0, 0, 1])
    assert int(bags.size) == 2


def test_weights_of_one():
    bags = NeighborBags(neighbor_weights="one")({"item_id": NEIGHBORS}, SCORES)
    np.testing.assert_array_equal(bags["item_id"].weights, [1, 1, 1])


@pytest.mark.parametrize("weights", ["score", "one"])
def test_equals_reference(weights):
    rng = np.random.default_rng(0)
    scores = rng.poisson(1.0, (2, 5, 4)).astype(np.float32)
    scores[:, 2] = 0.0
    neighbors = rng.integers(0, 7, scores.shape).astype(np.int32)
    table = rng.normal(size=(7, 3)).astype(np.float32)
    embeddings = IdEmbeddings(sizes={"item_id": 6}, dim=3)
    embeddings.build({})
    embeddings.tables["item_id"].assign(table)
    bags = NeighborBags(neighbor_weights=weights)({"item_id": neighbors}, scores)
    (sums,) = embeddings({"item_id": [bags["item_id"]]})["item_id"]
    expected = [
        [reference.neighbor_sum(*row, table, weights) for row in zip(*task, strict=True)]
        for task in zip(neighbors, scores, strict=True)
    ]
    np.testing.assert_allclose(tf.reshape(sums, [2, 5, 3]), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(tf.reshape(sums, [2, 5, 3])[:, 2], np.zeros((2, 3)))


def test_lists_of_no_entries():
    bags = NeighborBags()({"item_id": tf.zeros([2, 3, 0], tf.int32)}, tf.zeros([2, 3, 0]))
    bags = bags["item_id"]
    assert int(bags.size) == 6
    assert bags.ids.shape == [0]


def test_refuses_unknown_weights():
    with pytest.raises(ValueError, match=r"neighbor_weights: must be one of .* got 'mean'"):
        NeighborBags(neighbor_weights="mean")
