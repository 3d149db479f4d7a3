import numpy as np
import pytest
import tensorflow as tf

from mgoe_tf.layers.neighbor_attention import NeighborAttention
from tests.encoded_rows import randomize


def test_by_hand():
    layer = NeighborAttention(units=1, slope=0.5)
    nodes, neighbors = tf.constant([[2.0]]), tf.constant([[[1.0], [-6.0], [9.0]]])
    present = tf.constant([[True, True, False]])
    layer(nodes, neighbors, present)
    layer.self_kernel.assign([[3.0]])
    layer.neighbor_kernel.assign([[-0.5]])
    layer.score_kernel.assign([[1.0], [1.0]])
    # scores: 2 + 1 = 3 and 2 - 6 = -4, below 0 half of it: -2; the third is not there
    share = np.exp(3) / (np.exp(3) + np.exp(-2))
    np.testing.assert_allclose(
        layer.attention(nodes, neighbors, present), [[share, 1 - share, 0]], rtol=1e-6
    )
    mean = share * 1 + (1 - share) * -6
    np.testing.assert_allclose(layer(nodes, neighbors, present), [[3 * 2 - 0.5 * mean]], rtol=1e-5)


def test_without_neighbours_a_node_is_itself():
    layer = NeighborAttention(units=4)
    random = np.random.default_rng(0)
    nodes = tf.constant(random.normal(size=(6, 3)), tf.float32)
    neighbors = tf.constant(random.normal(size=(6, 5, 3)), tf.float32)
    layer(nodes, neighbors, tf.ones([6, 5], tf.bool))
    randomize(layer)
    found = layer(nodes, neighbors, tf.zeros([6, 5], tf.bool))
    expected = np.maximum(nodes.numpy() @ layer.self_kernel.numpy(), 0)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_what_is_not_there_is_no_matter_and_has_no_gradient():
    layer = NeighborAttention(units=4)
    nodes = tf.random.stateless_normal([3, 2], seed=[0, 0])
    neighbors = tf.Variable(1e4 * tf.random.stateless_normal([3, 4, 2], seed=[0, 1]))
    present = tf.constant([[True, False, True, False]] * 2 + [[False] * 4])
    with tf.GradientTape() as tape:
        found = layer(nodes, neighbors, present)
    gradient = tape.gradient(found, neighbors).numpy()
    assert np.isfinite(found).all()
    assert np.isfinite(gradient).all()
    assert not gradient[~present.numpy()].any()
    other = tf.where(present[..., tf.newaxis], neighbors, -7.0)
    np.testing.assert_array_equal(layer(nodes, other, present), found)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"units": 0}, "units: must be at least 1, got 0"),
        ({"units": 1, "slope": 1.0}, r"slope: must be in \[0, 1\), got 1.0"),
    ],
)
def test_arguments_are_checked(arguments, message):
    with pytest.raises(ValueError, match=message):
        NeighborAttention(**arguments)
