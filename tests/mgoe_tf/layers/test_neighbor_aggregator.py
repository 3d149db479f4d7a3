import numpy as np
import pytest
import tensorflow as tf

from mgoe_tf.layers.neighbor_aggregator import NeighborAggregator
from tests import reference
from tests.encoded_rows import randomize


def aggregated(neighbors, weights, target, aggregator: NeighborAggregator) -> np.ndarray:
    """sum_j w_j a_j v_j V / sum_j w_j a_j of one row, neighbour by neighbour."""
    attention = np.ones(len(neighbors))
    if aggregator.attention == "macro":
        query, key = aggregator.query.numpy(), aggregator.key.numpy()
        scores = [(v @ query) @ (target @ key) / np.sqrt(query.shape[1]) for v in neighbors]
        attention = reference.softmax(np.array(scores))
    products = np.asarray(weights, np.float64) * attention
    value = aggregator.value.numpy()
    return sum(p * (v @ value) for p, v in zip(products, neighbors, strict=True)) / products.sum()


@pytest.mark.parametrize("attention", ["macro", "constant"])
@pytest.mark.parametrize("shared", [True, False])
def test_equals_reference(attention, shared):
    rng = np.random.default_rng(0)
    neighbors = rng.normal(size=(4, 3) if shared else (6, 4, 3)).astype(np.float32)
    weights = rng.uniform(0.1, 1.0, (6, 4))
    targets = rng.normal(size=(6, 3)).astype(np.float32)
    aggregator = NeighborAggregator(units=5, attention=attention)
    levels = tf.constant(np.log(weights), tf.float32)
    aggregator(neighbors, levels, targets)
    randomize(aggregator)
    expected = [
        aggregated(neighbors if shared else neighbors[row], weights[row], targets[row], aggregator)
        for row in range(6)
    ]
    found = aggregator(neighbors, levels, targets)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_constant_attention_has_no_query_and_no_key():
    aggregator = NeighborAggregator(units=5, attention="constant")
    aggregator(tf.zeros([4, 3]), tf.zeros([2, 4]), tf.zeros([2, 3]))
    assert len(aggregator.weights) == 1
    assert aggregator.score_kernels == ()


def test_a_neighbour_alone_is_projected():
    aggregator = NeighborAggregator(units=5)
    neighbors = tf.random.stateless_normal([2, 1, 3], [0, 1])
    found = aggregator(neighbors, tf.zeros([2, 1]), tf.ones([2, 3]))
    np.testing.assert_allclose(found, aggregator.project(neighbors[:, 0]), rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"units": 0}, "units: must be at least 1, got 0"),
        ({"units": 1, "attention": "micro"}, "attention: must be one of .*, got 'micro'"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        NeighborAggregator(**arguments)
